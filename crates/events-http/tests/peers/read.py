"""Reads requests from standard input, and prints what Python's libraries make of each.

A request is {"headers": {...}, "body": base64}; with "secret", its signature is verified, without,
it is read as a CloudEvent.
"""

import base64
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook, WebhookVerificationError


def verified(request, body):
    try:
        Webhook(request["secret"]).verify(body, request["headers"], json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def event(request, body):
    read = from_http_event(HTTPMessage(headers=request["headers"], body=body))
    attributes = dict(read.get_attributes())
    attributes["time"] = attributes["time"].isoformat()
    data = read.get_data()
    if isinstance(data, bytes):
        data = {"bytes": base64.b64encode(data).decode()}
    return {"attributes": attributes, "data": data}


answers = []
for request in json.load(sys.stdin):
    body = base64.b64decode(request["body"])
    answers.append((verified if "secret" in request else event)(request, body))
json.dump(answers, sys.stdout)

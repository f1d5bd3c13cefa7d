// Reads requests from standard input, and prints what JavaScript's libraries make of each.
//
// A request is {"headers": {...}, "body": base64}. With "secret", its signature is verified; with
// "public", the base64 of a public key, its signature of the asymmetric kind is, by Node itself.
// Otherwise it is read as a CloudEvent, and the objects of one in JSON are held against the schema.

import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const modules = join(process.env.EVENTS_PEERS, "node", "node_modules");
const require = createRequire(join(modules, "/"));
const { HTTP } = require("cloudevents");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");
const matchesSchema = require(join(modules, "cloudevents", "dist", "schema", "v1.js"));

function verified({ headers, secret }, body) {
  try {
    new Webhook(secret).verify(body.toString(), headers, { jsonParse: false });
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

function verifiedAsymmetric({ headers, public: key }, body) {
  const prefix = Buffer.from("302a300506032b6570032100", "hex");
  const der = Buffer.concat([prefix, Buffer.from(key, "base64")]);
  const publicKey = createPublicKey({ key: der, format: "der", type: "spki" });
  const head = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
  const signed = Buffer.concat([Buffer.from(head), body]);
  return headers["webhook-signature"]
    .split(" ")
    .map((signature) => signature.split(","))
    .some(([version, value]) =>
      version === "v1a" && verify(null, signed, publicKey, Buffer.from(value, "base64")));
}

function events({ headers }, body) {
  const json = headers["content-type"].startsWith("application/cloudevents");
  for (const object of json ? [JSON.parse(body)].flat() : []) {
    if (!matchesSchema(object)) throw new Error(JSON.stringify(matchesSchema.errors));
  }
  const message = { headers, body: body.toString() };
  return [HTTP.toEvent(message)].flat().map((event) => {
    event.validate();
    const { data, ...attributes } = event.toJSON();
    // This SDK leaves the percent-encoding of headers to its caller.
    for (const [name, value] of json ? [] : Object.entries(attributes)) {
      if (typeof value === "string") attributes[name] = decodeURIComponent(value);
    }
    return { attributes, data };
  });
}

const answers = JSON.parse(readFileSync(0)).map((request) => {
  const body = Buffer.from(request.body, "base64");
  if (request.secret) return verified(request, body);
  if (request.public) return verifiedAsymmetric(request, body);
  return events(request, body);
});
console.log(JSON.stringify(answers));

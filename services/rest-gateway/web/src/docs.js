/** The page of the REST API. It shows the gateway's OpenAPI document. */

import { get } from "./api.js";

const ORDER = ["get", "post", "put", "delete"];

async function main() {
  const document_ = await get("/v1/openapi.json");
  document.querySelector("#about").textContent = document_.info.description.replaceAll("`", "");
  const byTag = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const method of ORDER.filter((name) => methods[name])) {
      const operation = { path, method, ...methods[method] };
      const [tag] = operation.tags;
      byTag.set(tag, [...(byTag.get(tag) ?? []), operation]);
    }
  }
  const sections = [...byTag].map(([tag, operations]) => section(tag, operations, document_));
  document.querySelector("#operations").append(...sections);
}

function section(tag, operations, document_) {
  return make("section", {}, make("h2", {}, tag), ...operations.map((operation) => describe(operation, document_)));
}

function describe(operation, document_) {
  const roles = operation["x-roles"];
  const head = make(
    "summary",
    {},
    make("span", { class: `method ${operation.method}` }, operation.method.toUpperCase()),
    make("code", {}, operation.path),
    make("span", { class: "what" }, operation.summary),
    make("span", { class: "roles" }, roles.length > 0 ? roles.join(", ") : "open"),
  );
  const parts = [head];
  if (operation.parameters.length > 0) parts.push(make("h3", {}, "Parameters"), parameters(operation.parameters, document_));
  const [type, body] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (body) parts.push(make("h3", {}, "Body ", make("small", {}, `${type}, at most ${operation.requestBody["x-max-bytes"] >> 10} KiB`)), shape(body.schema, document_));
  for (const [status, answer] of Object.entries(operation.responses)) {
    const content = Object.entries(answer.content ?? {})[0];
    if (status === "default" || (answer.$ref && status >= 400)) continue;
    parts.push(make("h3", {}, status, " ", make("small", {}, [answer.description, content?.[0]].filter(Boolean).join(", "))));
    if (content) parts.push(shape(content[1].schema, document_));
  }
  return make("details", { id: operation.operationId }, ...parts);
}

function parameters(list, document_) {
  const rows = list.map(({ name, schema, description, required }) => {
    const resolved = resolve(schema, document_);
    const about = [description || resolved.description, !required && "optional"].filter(Boolean).join(" · ");
    return make("tr", {}, make("td", {}, make("code", {}, name)), make("td", {}, about));
  });
  return make("table", {}, ...rows);
}

function shape(schema, document_) {
  return make("pre", {}, sketch(schema, document_, "", 0));
}

/** Returns an example value for a schema. */
function sketch(schema, document_, indent, depth) {
  const resolved = resolve(schema, document_);
  const choices = resolved.oneOf ?? resolved.anyOf;
  if (resolved.const !== undefined) return JSON.stringify(resolved.const);
  if (resolved.enum) return resolved.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (choices?.length === 2 && choices[1].type === "null") return `${sketch(choices[0], document_, indent, depth)} | null`;
  if (choices) return choices.map((choice) => sketch(choice, document_, indent, depth)).join(`\n${indent}| `);
  const types = [resolved.type].flat().filter(Boolean);
  if (types.includes("array")) return `[${sketch(resolved.items ?? {}, document_, indent, depth)}, …]`;
  if (!types.includes("object") || depth > 4) return resolved.format ? `${types.join(" | ")} (${resolved.format})` : types.join(" | ") || "anything";
  const inner = `${indent}  `;
  const fields = Object.entries(resolved.properties ?? {}).map(([name, field]) => `${inner}${name}: ${sketch(field, document_, inner, depth + 1)}`);
  return fields.length > 0 ? `{\n${fields.join("\n")}\n${indent}}` : "{}";
}

function resolve(schema, document_) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((value, key) => value?.[key], document_) ?? {};
}

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

main().catch((error) => {
  document.querySelector("#notice").textContent = `Could not load the API document: ${error.message}`;
});

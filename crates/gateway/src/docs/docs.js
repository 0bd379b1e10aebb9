// Renders openapi.json. Everything from the document goes in as text, never as markup.
"use strict";

const make = (name, content = [], attributes = {}) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...[content].flat());
  return element;
};

const table = (heads, rows) =>
  make("table", [
    make("thead", make("tr", heads.map((head) => make("th", head)))),
    make("tbody", rows.map((row) => make("tr", row.map((cell) => make("td", cell))))),
  ]);

const shape = (schema, known, depth = 0) => {
  if (!schema || depth > 6) return "…";
  if (schema.$ref) return shape(known[schema.$ref.split("/").pop()], known, depth);
  if (schema.oneOf || schema.anyOf) {
    const parts = (schema.oneOf || schema.anyOf).map((part) => shape(part, known, depth));
    return [...new Set(parts)].join(" | ");
  }
  if (schema.allOf) return schema.allOf.map((part) => shape(part, known, depth)).join(" & ");
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  const types = [schema.type].flat().filter(Boolean);
  if (types.includes("array")) return `[${shape(schema.items, known, depth + 1)}]`;
  if (schema.properties) {
    const space = "  ".repeat(depth + 1);
    const fields = Object.entries(schema.properties).map(([name, field]) => {
      const mark = (schema.required || []).includes(name) ? "" : "?";
      return `${space}${name}${mark}: ${shape(field, known, depth + 1)}`;
    });
    return `{\n${fields.join("\n")}\n${"  ".repeat(depth)}}`;
  }
  return types.join(" | ") || "any";
};

const bodies = (content, known) =>
  Object.entries(content || {}).flatMap(([type, media]) => [make("code", type), make("pre", shape(media.schema, known))]);

const operation = (method, path, details, known) => {
  const parts = [];
  const lines = (details.description || "").trim();
  if (lines) parts.push(make("p", lines));
  if (details.parameters && details.parameters.length) {
    parts.push(make("h3", "Parameters"));
    parts.push(table(["name", "in", "type", ""], details.parameters.map((one) => [
      make("code", one.name + (one.required ? "" : "?")), one.in, make("code", shape(one.schema, known)), one.description || "",
    ])));
  }
  if (details.requestBody) parts.push(make("h3", "Body"), ...bodies(details.requestBody.content, known));
  parts.push(make("h3", "Answers"));
  for (const [status, answer] of Object.entries(details.responses || {})) {
    parts.push(make("p", [make("b", status), ` ${answer.description || ""}`]), ...bodies(answer.content, known));
  }
  const summary = make("summary", [make("b", method, { class: method }), make("code", path), make("span", details.summary || "")]);
  const entry = make("details", [summary, make("div", parts)]);
  entry.dataset.text = `${method} ${path} ${details.summary || ""}`.toLowerCase();
  return entry;
};

const show = (api) => {
  const known = (api.components && api.components.schemas) || {};
  document.getElementById("about").textContent = `${api.info.description || ""} Version ${api.info.version}.`;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, details] of Object.entries(methods)) {
      if (typeof details !== "object" || !details.responses) continue;
      const tag = (details.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(method.toUpperCase(), path, details, known));
    }
  }
  const routes = document.getElementById("routes");
  for (const [tag, entries] of groups) routes.append(make("section", [make("h2", tag), ...entries]));
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const section of routes.children) {
      const entries = [...section.querySelectorAll("details")];
      for (const entry of entries) entry.hidden = !entry.dataset.text.includes(wanted);
      section.hidden = entries.every((entry) => entry.hidden);
    }
  });
};

fetch("openapi.json")
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => {
    document.getElementById("about").textContent = `The description could not be read: ${error.message}`;
  });

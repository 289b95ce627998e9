// The BA metric (plugins/baft_ba/metric.py) as an assertion for promptfoo, which would start a
// Python interpreter for each one written in Python. Reads plain YAML, as the mock server answers,
// with promptfoo's own js-yaml: no fences are taken away and nothing is repaired.
const yaml = require("js-yaml");

const PREFIXES = { functional_requirements: "FR", non_functional_requirements: "NFR", constraints: "C" };
const NAMES = ["title", "description", ...Object.keys(PREFIXES)];

function loaded(text) {
  try {
    return yaml.load(text);
  } catch {
    return undefined;
  }
}

const isMapping = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isPresent = (value) => (Array.isArray(value) ? value.length > 0 : Boolean(value));
const length = (value) => String(value ?? "").trim().length;

function listPoints(value, prefix) {
  if (!isPresent(value)) return 0;
  const entries = typeof value === "string" ? loaded(value) : value;
  if (!Array.isArray(entries)) return 0;
  const id = new RegExp(`^${prefix}\\d+$`);
  const valid = entries.filter(
    (one) => isMapping(one) && "description" in one && "priority" in one && id.test(one.id),
  );
  return 0.5 + (entries.length >= 2 ? 0.5 : 0) + (valid.length >= 2 ? 0.5 : 0);
}

module.exports = (output) => {
  const found = loaded(output);
  const fields = isMapping(found) ? found : {};
  let points = NAMES.filter((name) => isPresent(fields[name])).length / NAMES.length;
  points += length(fields.title) >= 10 && length(fields.title) <= 100 ? 0.5 : 0;
  points += length(fields.description) >= 100 ? 0.5 : 0;
  for (const [name, prefix] of Object.entries(PREFIXES)) points += listPoints(fields[name], prefix);
  return { pass: true, score: Math.min(points / 7, 1), reason: "ba_requirements" };
};

/** The words of JSON Schema (draft 2020-12) that ours uses. */
export interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly dependentRequired?: Readonly<Record<string, readonly string[]>>;
  readonly additionalProperties?: boolean;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

const KNOWN = new Set([
  ...["$schema", "$ref", "$defs", "title", "description", "type", "enum", "const", "oneOf", "properties", "required"],
  ...["dependentRequired", "additionalProperties", "items", "minItems", "minimum", "maximum", "minLength", "maxLength"],
  "pattern",
]);

/** Whether a value is as a schema says; throws if the schema has a word that is not known here. */
export function isValid(schema: Schema, value: unknown, root: Schema = schema): boolean {
  const unknown = Object.keys(schema).find((word) => !KNOWN.has(word));
  if (unknown !== undefined) throw new Error(`The schema has ${unknown}`);
  const at = (it: Schema, value: unknown) => isValid(it, value, root);
  if (schema.$ref !== undefined && !at(root.$defs![schema.$ref.replace("#/$defs/", "")]!, value)) return false;
  if (schema.enum?.includes(value) === false) return false;
  if ("const" in schema && schema.const !== value) return false;
  if (schema.type !== undefined && !hasType(schema.type, value)) return false;
  if (schema.oneOf !== undefined && schema.oneOf.filter((it) => at(it, value)).length !== 1) return false;
  const { minimum = -Infinity, maximum = Infinity, minLength = 0, maxLength = Infinity, minItems = 0 } = schema;
  if (typeof value === "number") return value >= minimum && value <= maximum;
  if (typeof value === "string") {
    return value.length >= minLength && value.length <= maxLength && new RegExp(schema.pattern ?? "").test(value);
  }
  if (Array.isArray(value)) {
    return value.length >= minItems && value.every((it) => schema.items === undefined || at(schema.items, it));
  }
  if (typeof value !== "object" || value === null) return true;
  const { properties = {}, required = [], dependentRequired = {}, additionalProperties = true } = schema;
  const wanted = [
    ...required,
    ...Object.keys(dependentRequired).filter((it) => it in value).flatMap((it) => dependentRequired[it]!),
  ];
  return wanted.every((name) => name in value) &&
    Object.entries(value).every(([name, it]) => name in properties ? at(properties[name]!, it) : additionalProperties);
}

function hasType(type: string, value: unknown): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  const is: string = typeof value;
  return is === type;
}

// The `format`s that a grammar can hold a model to, as regular expressions whose every match passes ajv-formats' check of
// the same name. Some are narrower than the standard (an e-mail address without quoted parts): a model loses nothing by it.

const leapDay = "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29";
const otherDays =
  "\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))";
const date = `(?:${leapDay}|${otherDays})`;
const clock = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?";
const zone = "(?:Z|[+-](?:0\\d|1[0-3]):[0-5]\\d)";
const byte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const label = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?";
const shortLabel = "[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?";
const uuid = (version: string): string =>
  `[0-9a-f]{8}-[0-9a-f]{4}-${version}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`;
const dayPart = "(?:\\d{1,4}D|\\d{1,4}M(?:\\d{1,4}D)?|\\d{1,4}Y(?:\\d{1,4}M(?:\\d{1,4}D)?)?)";
const timePart = "T(?:\\d{1,4}S|\\d{1,4}M(?:\\d{1,4}S)?|\\d{1,4}H(?:\\d{1,4}M(?:\\d{1,4}S)?)?)";
const group = "[0-9a-f]{1,4}";

/** Pattern per format. */
export const formatPatterns: Readonly<Record<string, string>> = {
  date: `^${date}$`,
  time: `^${clock}${zone}$`,
  "date-time": `^${date}T${clock}${zone}$`,
  duration: `^P(?:\\d{1,4}W|${dayPart}(?:${timePart})?|${timePart})$`,
  uuid: "^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$",
  uuid1: `^${uuid("1")}$`,
  uuid3: `^${uuid("3")}$`,
  uuid4: `^${uuid("4")}$`,
  uuid5: `^${uuid("5")}$`,
  email: `^[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,32}){0,2}@(?:${shortLabel}\\.){1,3}[a-z]{2,12}$`,
  ipv4: `^(?:${byte}\\.){3}${byte}$`,
  ipv6: `^(?:(?:${group}:){7}${group}|(?:${group}:){1,6}:${group}|::(?:${group}:){0,5}${group}|(?:${group}:){1,7}:|::)$`,
  hostname: `^${shortLabel}(?:\\.${shortLabel}){0,6}$`,
  uri: `^https?://${label}(?:\\.${label})*(?::[1-9]\\d{0,3})?(?:/[A-Za-z0-9._~-]*)*(?:\\?[A-Za-z0-9._~=&-]*)?(?:#[A-Za-z0-9._~-]*)?$`,
};

/** Formats that describe how a text is used and do not restrict it, so nothing is enforced. */
export const annotationFormats: ReadonlySet<string> = new Set([
  "password",
  "binary",
  "path",
  "file-path",
  "directory-path",
  "float",
  "double",
  "decimal",
  // zod's names for checks that it also writes as patterns.
  "starts_with",
  "ends_with",
  "includes",
  "lowercase",
  "uppercase",
]);

/** Numeric formats of OpenAPI, as bounds. */
export const integerFormats: Readonly<Record<string, readonly [min: number, max: number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

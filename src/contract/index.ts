// Lineshaft's own API as data: every resource of /api/*, once. Routes check and document with these schemas (OpenAPI is
// generated from them), the console and the command line infer their types from them.
//
// Conventions: amounts are integer nano strings beside their currency; times are RFC 3339 strings; lists are
// {data, next_cursor}; errors are {error: {code, message, hint, docs, request_id}}.
export * from "./common.ts";
export * from "./status.ts";
export * from "./engines.ts";
export * from "./prices.ts";
export * from "./routes.ts";
export * from "./batches.ts";
export * from "./calls.ts";
export * from "./agents.ts";
export * from "./money.ts";
export * from "./secrets.ts";
export * from "./live.ts";

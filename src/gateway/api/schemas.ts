// Lineshaft's own API as data: every resource of /api/*, once. Routes check and document with these schemas (OpenAPI is
// generated from them), the console and the command line infer their types from them.
//
// Conventions: amounts are integer nano strings beside their currency; times are RFC 3339 strings; lists are
// {data, next_cursor}; errors are {error: {code, message, hint, docs, request_id}}.
export * from "./schemas/common.ts";
export * from "./schemas/status.ts";
export * from "./schemas/engines.ts";
export * from "./schemas/calls.ts";
export * from "./schemas/agents.ts";
export * from "./schemas/money.ts";
export * from "./schemas/secrets.ts";
export * from "./schemas/live.ts";

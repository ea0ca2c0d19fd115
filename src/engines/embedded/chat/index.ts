// The chat layer of the embedded engine: conversations to prompts, schemas and tools to grammars, generated text to answers.
// Pure: no I/O, no clock, no engine.
export { formTags } from "./hermes.ts";
export { type ChatMessage, type ChatTool } from "./messages.ts";
export { createTemplate, type ChatTemplate, type Rendered } from "./template.ts";
export { compileSchema, jsonObjectGrammar } from "./schema.ts";
export { toolGrammar } from "./tools.ts";
export { createAnswerParser, type AnswerEvent, type AnswerParser } from "./parser.ts";

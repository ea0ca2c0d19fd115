// The API's document, made from the schemas that check (that of /v1 included), and a page that shows it: one file, no script
// from elsewhere.
import { hash } from "node:crypto";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "@hono/zod-openapi";
import { chatBody, completionBody } from "../gateway/protocols/openai/bodies.ts";
import type { ApiEnv } from "./helpers.ts";

const openAiError = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string(),
      hint: z.string().optional().describe("What to do next"),
    }),
  })
  .openapi("OpenAIError");

const refused = (description: string) => ({ description, content: { "application/json": { schema: openAiError } } });
const errors = {
  400: refused("A field is wrong, or not supported by the engine; `param` names it"),
  401: refused("No key, or one that is not known"),
  403: refused("The model has no price"),
  404: refused("There is no such model; the nearest name is in `hint`"),
  429: refused(
    "A budget does not allow the call (`insufficient_quota`), other calls hold the rest of it, or the engine is busy (`Retry-After`)",
  ),
  502: refused("The engine failed, or its answer breaks what was asked"),
};
const anyObject = z.looseObject({});

function registerModelApi(app: OpenAPIHono<ApiEnv>): void {
  const registry = app.openAPIRegistry;
  const tags = ["Models (OpenAI's shapes)"];
  for (const [path, summary, schema, object] of [
    ["/v1/chat/completions", "A chat completion, streamed or whole", chatBody, "chat.completion"],
    ["/v1/completions", "A text completion, streamed or whole", completionBody, "text_completion"],
  ] as const)
    registry.registerPath({
      method: "post",
      path,
      tags,
      summary,
      description:
        "Fields that the model's engine does not honour are refused by name. Headers of the answer: x-lineshaft-call, x-lineshaft-decision, x-lineshaft-engine, the price (x-lineshaft-price-nano, for streams the most it can be: x-lineshaft-price-nano-most), x-lineshaft-currency, and what is left of the tightest budget (x-lineshaft-budget, x-lineshaft-budget-left-nano).",
      request: { body: { required: true, content: { "application/json": { schema } } } },
      responses: {
        200: {
          description: `An object of kind ${object}, or events of its chunks that end with [DONE]`,
          content: { "application/json": { schema: anyObject }, "text/event-stream": { schema: z.string() } },
        },
        ...errors,
      },
    });
  const model = z.looseObject({
    id: z.string(),
    object: z.literal("model"),
    created: z.number(),
    owned_by: z.string(),
  });
  registry.registerPath({
    method: "get",
    path: "/v1/models",
    tags,
    summary: "Models that may be called",
    responses: {
      200: {
        description: "The list",
        content: { "application/json": { schema: z.object({ object: z.literal("list"), data: z.array(model) }) } },
      },
      401: errors[401],
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/models/{id}",
    tags,
    summary: "One model",
    request: { params: z.object({ id: z.string() }) },
    responses: {
      200: { description: "The model", content: { "application/json": { schema: model } } },
      401: errors[401],
      404: errors[404],
    },
  });
  registry.registerPath({
    method: "get",
    path: "/healthz",
    tags: ["Status"],
    summary: "Whether calls can be served",
    security: [],
    responses: {
      200: { description: "Yes", content: { "application/json": { schema: z.object({ status: z.literal("ok") }) } } },
    },
  });
  registry.registerPath({
    method: "get",
    path: "/metrics",
    tags: ["Status"],
    summary: "Prometheus metrics; without a key only where Lineshaft listens on loopback alone, else with an owner's",
    responses: { 200: { description: "Text format", content: { "text/plain": { schema: z.string() } } } },
  });
}

export function openApiDocument(app: OpenAPIHono<ApiEnv>): object {
  registerModelApi(app);
  app.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  return app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Lineshaft",
      version: "0.1.0",
      description:
        "Amounts are integer nano-units beside their currency (1000000000 is 1.00), times RFC 3339, lists {data, next_cursor}, errors {error: {code, message, hint, docs, request_id}}. Creations take an Idempotency-Key.",
    },
    security: [{ key: [] }],
  });
}

export const docsPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Lineshaft API</title>
<style>
:root{color-scheme:light dark;--fg:light-dark(#1b1d21,#e6e7ea);--dim:light-dark(#5d636e,#9aa1ad);--line:light-dark(#dfe1e6,#33373f);--bg:light-dark(#fff,#16181c);--tint:light-dark(#f5f6f8,#1e2126)}
body{margin:0 auto;max-width:960px;padding:24px 16px;font:14px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
h1{font-size:20px}h2{font-size:15px;margin:32px 0 8px;border-bottom:1px solid var(--line);padding-bottom:4px}
details{border:1px solid var(--line);border-radius:6px;margin:6px 0}summary{padding:8px 12px;cursor:pointer}
summary b{display:inline-block;min-width:56px;font:12px ui-monospace,monospace}summary code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
summary span{color:var(--dim);margin-left:8px}.in{padding:0 12px 12px}pre{background:var(--tint);padding:8px 12px;border-radius:6px;overflow:auto;font:12px/1.45 ui-monospace,monospace}
p{max-width:72ch}.dim{color:var(--dim)}h3{font-size:13px;margin:12px 0 4px}
</style></head><body><h1>Lineshaft API</h1><p id="about" class="dim">Loading the document.</p><main id="paths"></main>
<h2 id="errors">Errors</h2><p>On /v1 in OpenAI's shape, with a code and a hint; on /api as {error: {code, message, hint, docs, request_id}}. Codes are stable.</p>
<p><a href="/api/openapi.json">openapi.json</a></p>
<script>
const el=(tag,text,cls)=>{const e=document.createElement(tag);if(text!==undefined)e.textContent=text;if(cls)e.className=cls;return e};
fetch("/api/openapi.json").then(r=>r.json()).then(doc=>{
  document.getElementById("about").textContent=doc.info.description;
  const shape=(s,seen=[])=>{ if(!s)return "any";
    if(s.$ref){const n=s.$ref.split("/").pop();return seen.includes(n)?n:shape(doc.components.schemas[n],[...seen,n])}
    const any=s.anyOf||s.oneOf; if(any)return any.map(x=>shape(x,seen)).join(" | ");
    if(s.const!==undefined)return JSON.stringify(s.const); if(s.enum)return s.enum.map(x=>JSON.stringify(x)).join(" | ");
    if(s.type==="array")return "["+shape(s.items,seen)+"]";
    if(s.properties){const req=s.required||[];return "{\\n"+Object.entries(s.properties).map(([k,v])=>("  "+k+(req.includes(k)?"":"?")+": "+shape(v,seen)+(v.description?"   // "+v.description:"")).replace(/\\n/g,"\\n  ")).join("\\n")+"\\n}"}
    return Array.isArray(s.type)?s.type.join(" | "):(s.type||"any")};
  const groups=new Map();
  for(const[path,ops]of Object.entries(doc.paths))for(const[method,op]of Object.entries(ops)){const t=(op.tags||["Other"])[0];if(!groups.has(t))groups.set(t,[]);groups.get(t).push([method,path,op])}
  const main=document.getElementById("paths");
  for(const[tag,list]of groups){main.append(el("h2",tag));for(const[method,path,op]of list){
    const d=el("details"),s=el("summary");s.append(el("b",method.toUpperCase()),el("code",path),el("span",op.summary||""));d.append(s);
    const b=el("div",undefined,"in");if(op.description)b.append(el("p",op.description));
    if(op.parameters&&op.parameters.length){b.append(el("h3","Parameters"));b.append(el("pre",op.parameters.map(p=>p.name+(p.required?"":"?")+" ("+p.in+"): "+shape(p.schema)+(p.schema&&p.schema.description?"   // "+p.schema.description:"")).join("\\n")))}
    const body=op.requestBody&&op.requestBody.content;if(body){b.append(el("h3","Body"));b.append(el("pre",shape(Object.values(body)[0].schema)))}
    for(const[code,r]of Object.entries(op.responses||{})){b.append(el("h3",code+"  "+(r.description||"")));const c=r.content&&Object.values(r.content)[0];if(c&&code<300)b.append(el("pre",shape(c.schema)))}
    d.append(b);main.append(d)}}
}).catch(e=>{document.getElementById("about").textContent="The document could not be loaded: "+e.message});
</script></body></html>
`;

const hashOf = (tag: "script" | "style"): string => {
  const text = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(docsPage)![1]!;
  return `'sha256-${hash("sha256", text, "base64")}'`;
};

/** The page runs its own script and reads this server; nothing else, and in no other page's frame. */
export const docsPolicy = `default-src 'none'; script-src ${hashOf("script")}; style-src ${hashOf("style")}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

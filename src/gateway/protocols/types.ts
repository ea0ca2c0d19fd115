// The seam between clients and the gateway: a protocol is four verbs. A new one is a folder here and a line in registry.ts, and it
// passes suite.ts; nothing else has to know it.
//
//   decode   a request's body becomes a ModelCall, or is refused by the name of the field at fault
//   whole    an answer becomes the body of a response
//   events   a stream's chunks become text on the wire, event names and framing included
//   error    a failure becomes a body, or an event where the answer has begun
import type { IncomingHttpHeaders } from "node:http";
import type { Bytes, JsonMembers } from "../../bounded/index.ts";
import type { LineshaftError } from "../../errors/index.ts";
import type { EngineRegistry, Shape } from "../../engines/index.ts";
import type { Action, Principal } from "../../governance/index.ts";
import type { FileStore } from "../batches/files.ts";
import type { LineStore } from "../batches/lineStore.ts";
import type { BatchStore } from "../batches/store.ts";
import type { ModelCall } from "../modelCall.ts";
import type { ResponsesState } from "../responses/state.ts";
import type { AnswerChunk } from "../types.ts";
import type { Earlier } from "./responses/call.ts";
import type { Told } from "./told.ts";

export type { Told } from "./told.ts";

/** A request that is a call. */
export interface CallRoute {
  readonly method: "POST";
  /** It may hold `{model}`, which stands for any text: names of models hold slashes and colons. */
  readonly path: string;
  /** The path, and not the body, says that the answer streams. */
  readonly stream?: true;
}

/** A request as it came. */
export interface ReceivedRequest {
  route: CallRoute;
  /** The model that the path names. */
  model: string | undefined;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  bytes: Bytes;
  /** What was parsed from `bytes`. */
  json: unknown;
  /** Where the members of `json` lie in `bytes`, where that was noted while they came. */
  members?: JsonMembers | undefined;
  /** What is kept of earlier calls, for a protocol that is `stateful`. */
  state?: { keeps: boolean; earlier?: Earlier | undefined };
}

/** What an error may say of its request. */
interface FailedRequest {
  /** As in the header `requestIdHeader`. */
  requestId?: string;
  /** The call, where one was decoded. */
  told?: Told;
}

/** Encodes one stream: takes each chunk, and undefined for its end; answers what is written, which may be nothing. */
export type StreamEncoder = (chunk: AnswerChunk | undefined) => string;

/** A request that calls no model: a list of models, say. */
export interface Question {
  readonly method: "GET" | "POST" | "DELETE";
  /** `{model}` stands for any text, any other name in braces for one segment of the path. */
  readonly path: string;
  /** What it does, on the caller's organisation; the server asks governance before it is answered. */
  readonly action: Action;
  /**
   * Its body is a form with a file (multipart/form-data, RFC 7578), or JSON with so many requests that it is given as `text` and not
   * parsed; absent: JSON or nothing.
   */
  readonly takes?: "form" | "requests";
  /** Throws LineshaftError. */
  answer(asked: Questioned): Reply | Promise<Reply>;
}

export interface Questioned {
  engines: EngineRegistry;
  /** Whole names that other models serve, of the principal's organisation. */
  aliases: readonly { alias: string; model: string }[];
  principal: Principal;
  /** What the path says in place of its names in braces, decoded. */
  names: Readonly<Record<string, string>>;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** The body, parsed; undefined where the method has none. */
  json: unknown;
  /** The body of a question that takes requests. */
  text: string | undefined;
  /** Stored responses and conversations. */
  stored: ResponsesState;
  /** Aborts when the client has gone, or the server stops. */
  signal: AbortSignal;
  /** Batches and their files. */
  batches: { files: FileStore; batches: BatchStore; lines: LineStore };
  /**
   * Reads the body as a form, for a question that takes one: its one file goes to `onFile` while it comes, and its other parts are
   * answered by their names once all of it has come. Throws LineshaftError, what `onFile` throws included.
   */
  form: (onFile: (name: string, bytes: AsyncIterable<Buffer>) => Promise<void>) => Promise<ReadonlyMap<string, string>>;
  /** Counts bytes that are about to be read as memory of the request. Throws 429 and 503 where they are too many. */
  count: (bytes: number) => void;
}

/** What a question is answered with: an object, a stream of events as text, or the bytes of a file. */
export type Reply =
  | { json: Record<string, unknown>; headers?: Record<string, string>; events?: undefined; bytes?: undefined }
  | { events: AsyncIterable<string>; json?: undefined; bytes?: undefined }
  | FileReply;

/** The bytes of a file. */
interface FileReply {
  bytes: AsyncIterable<Buffer>;
  /** Their number; absent where it is known only at their end. */
  length?: number;
  name: string;
  /** Absent: bytes of no type that is known. */
  type?: string;
  events?: undefined;
}

/** `path`: the part of the API is this path and all below it. `name` begins a sentence. */
export interface NotOffered {
  readonly path: string;
  readonly name: string;
  readonly hint: string;
}

export interface Protocol {
  readonly name: string;
  /** Of its bodies and answers. */
  readonly shape: Shape;
  /** Paths below these are its own: also those that are not served have errors in its shape. */
  readonly roots?: readonly string[];
  /** Parts of its API that Lineshaft does not offer, and what a client does in their place. */
  readonly notOffered?: readonly NotOffered[];
  /** Where its clients write their key, beside `authorization` and `x-api-key`. */
  readonly keyIn?: { readonly header: string; readonly query: string };
  /** A header by which its clients are known where another protocol serves the same path. */
  readonly saidBy?: string;
  /** Requests that are calls. */
  readonly calls: readonly CallRoute[];
  /** Requests that are not, answered in this protocol's shapes. */
  readonly questions: readonly Question[];
  /** Header in which its clients look for the id of their request. */
  readonly requestIdHeader: string;
  /** Content type of its streams. */
  readonly streamType: string;
  /** A list of its bodies of which a long body's `json` has the outline, and which is parsed when it is read (bounded/jsonLazy.ts). */
  readonly outlined?: string;
  /** Its calls can go on from earlier ones, which are kept (gateway/responses/). */
  readonly stateful?: true;
  /** Throws a 400 that names the first field at fault. */
  decode(received: ReceivedRequest): ModelCall;
  /** JSON text of a whole answer. */
  whole(answer: AnswerChunk, told: Told): string;
  /** The encoder of one stream. */
  events(told: Told): StreamEncoder;
  /** What a stream is sent while its first token is computed, which clients leave out; absent: a comment. */
  readonly waiting?: string;
  /** JSON text of a failure; of one inside a stream (`stream`), the event that ends it. */
  error(failure: LineshaftError, place: "body" | "stream", of?: FailedRequest): string;
  /** The status by which its clients understand the failure; absent: the failure's own. */
  statusOf?(failure: LineshaftError): number;
}

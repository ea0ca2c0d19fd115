// Reads a form with one file (multipart/form-data, RFC 7578) as it comes: the file's bytes go to their reader piece by piece, so that no file
// lies in memory. The parser is a library's; bounds, pace and the ends of it are here.
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { Busboy, type BusboyHeaders, type BusboyInstance } from "@fastify/busboy";
import { LineshaftError } from "../../errors/index.ts";
import { limits as gatewayLimits } from "../../gateway/limits.ts";
import { bodyEncoded, bodyTooLarge, clientGone } from "../../gateway/refusals.ts";
import { limits } from "../limits.ts";
import { discard, tooSlow } from "./bodies.ts";

type OnFile = (name: string, bytes: AsyncIterable<Buffer>) => Promise<void>;

/**
 * The other parts of the form by their names, once all of it has come. Throws 400 for what is no such form, 413 past the bound of a file,
 * 408 for a sender that is too slow, 415 for a compressed body, 499 for a client that has gone, and what `onFile` throws.
 */
export async function readForm(request: IncomingMessage, onFile: OnFile): Promise<ReadonlyMap<string, string>> {
  if (request.destroyed) throw clientGone();
  try {
    const parser = parserOf(request);
    return await new Form(request, parser, onFile).read();
  } catch (error) {
    request.unpipe();
    discard(request);
    throw error;
  }
}

function parserOf(request: IncomingMessage): BusboyInstance {
  const { "content-encoding": encoding, "content-type": type, "content-length": length } = request.headers;
  if (encoding !== undefined && encoding !== "identity") throw bodyEncoded(encoding);
  if (!type?.startsWith("multipart/form-data"))
    throw formInvalid("The body must be a form: content-type multipart/form-data, with the file as the part `file`.");
  const { fileBytes } = gatewayLimits;
  if (Number(length ?? 0) > fileBytes + limits.formBytesBeside) throw bodyTooLarge(fileBytes);
  const { formFieldBytes: fieldSize, formFieldsMost: fields, formHeaderBytes: headerSize } = limits;
  try {
    return new Busboy({
      headers: request.headers as BusboyHeaders,
      limits: { fileSize: fileBytes, files: 1, fields, parts: fields + 1, fieldSize, fieldNameSize: 100, headerSize },
    });
  } catch (error) {
    throw formInvalid(`The form cannot be read: ${(error as Error).message}.`);
  }
}

class Form {
  readonly #request: IncomingMessage;
  readonly #parser: BusboyInstance;
  readonly #onFile: OnFile;
  readonly #fields = new Map<string, string>();
  readonly #over = Promise.withResolvers<void>();
  #file: Promise<void> = Promise.resolve();
  #stream: Readable | undefined;
  #bytes = 0;

  constructor(request: IncomingMessage, parser: BusboyInstance, onFile: OnFile) {
    this.#request = request;
    this.#parser = parser;
    this.#onFile = onFile;
  }

  async read(): Promise<ReadonlyMap<string, string>> {
    const pace = this.#paced();
    const count = (piece: Buffer) => void (this.#bytes += piece.length);
    const gone = () => void (this.#request.complete || this.#fail(clientGone()));
    this.#request.on("data", count).once("close", gone);
    this.#listen();
    try {
      this.#request.pipe(this.#parser);
      await this.#over.promise;
      await this.#file;
      return this.#fields;
    } finally {
      clearInterval(pace);
      // Its reader has ended too before the form's failure is told, so that what it began can be undone.
      await this.#file.catch(() => {});
      this.#request.off("data", count).off("close", gone);
    }
  }

  #listen(): void {
    const tooMuch = (what: string) => () => this.#fail(formInvalid(`The form has more ${what} than it may.`));
    this.#parser
      .on("file", (field, stream, name) => this.#onPart(field, stream, name))
      .on("field", (field, value, isNameCut, isValueCut) => {
        if (isNameCut || isValueCut) this.#fail(formInvalid("A part of the form is too long."));
        this.#fields.set(field, value);
      })
      .on("filesLimit", tooMuch("files"))
      .on("fieldsLimit", tooMuch("fields"))
      .on("partsLimit", tooMuch("parts"))
      .on("error", (error) => this.#fail(formInvalid(`The form cannot be read: ${(error as Error).message}.`)))
      .on("finish", () => this.#over.resolve());
  }

  #onPart(field: string, stream: Readable, name: string | undefined): void {
    this.#stream = stream;
    // What ends the form ends the reader of its file by itself.
    stream.on("error", () => {});
    stream.on("limit", () => this.#fail(bodyTooLarge(gatewayLimits.fileBytes)));
    if (field !== "file")
      return this.#fail(formInvalid(`A file was sent as \`${field}\`: send it as the part \`file\`.`));
    this.#file = this.#onFile(name ?? "file", stream as AsyncIterable<Buffer>);
    this.#file.catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    this.#over.reject(error);
    this.#stream?.destroy(error as Error);
  }

  /** Ends the form of a sender that brings too little. While the file's reader is behind, the sender may not send. */
  #paced(): NodeJS.Timeout {
    let before = 0;
    return setInterval(() => {
      if (this.#bytes - before < limits.slowBodyBytes && (this.#stream?.readableLength ?? 0) === 0)
        this.#fail(tooSlow());
      before = this.#bytes;
    }, limits.slowBodyMs);
  }
}

const formInvalid = (message: string): LineshaftError =>
  new LineshaftError({
    code: "form_invalid",
    message,
    hint: "Send a form (multipart/form-data) with `purpose` and one `file`, as `curl -F` and OpenAI's SDKs do.",
  });

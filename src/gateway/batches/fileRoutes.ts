// OpenAI's Files, as far as batches need them: upload, list, retrieve, content and delete.
import { LineshaftError } from "../../errors/index.ts";
import { storable } from "../../store/index.ts";
import { limits } from "../limits.ts";
import type { Question, Questioned, Reply } from "../protocols/types.ts";
import { invalidAt } from "../refusals.ts";
import { ownerOf } from "../responses/state.ts";
import type { FileWriter, StoredFile } from "./files.ts";
import { keptSeconds, pageOf, pageWish, secondsOf } from "./pages.ts";

type Json = Record<string, unknown>;

const file = "/v1/files/{file}";

/** Requests for files, in OpenAI's shapes. */
export const fileQuestions: readonly Question[] = [
  { method: "POST", path: "/v1/files", action: "files.create", takes: "form", answer: upload },
  { method: "GET", path: "/v1/files", action: "files.read", answer: listFiles },
  { method: "GET", path: file, action: "files.read", answer: getFile },
  { method: "GET", path: `${file}/content`, action: "files.read", answer: content },
  { method: "DELETE", path: file, action: "files.remove", answer: removeFile },
];

/** Parts of the form come in any order, so what the file is for may be known only after its bytes. */
async function upload({ batches, principal, form }: Questioned): Promise<Reply> {
  let writer: FileWriter | undefined;
  try {
    const fields = await form(async (name, bytes) => {
      writer = await batches.files.begin(ownerOf(principal), storable(name, limits.fileNameCharacters));
      for await (const piece of bytes) await writer.write(piece);
    });
    if (!writer) throw invalidAt("file", "is missing: send the file as a part of the form with this name.");
    const { purpose, kept } = wishOf(fields);
    return { json: shown(await writer.complete({ purpose, keptSeconds: kept })) };
  } catch (error) {
    await writer?.discard().catch(() => {});
    throw error;
  }
}

function wishOf(fields: ReadonlyMap<string, string>): { purpose: string; kept: number } {
  for (const name of fields.keys())
    if (!["purpose", "expires_after[anchor]", "expires_after[seconds]"].includes(name))
      throw invalidAt(name.slice(0, 100), "is not known here: leave it out.");
  const purpose = fields.get("purpose");
  if (purpose !== "batch") throw invalidAt("purpose", "must be `batch`: files are kept for batches only.");
  const anchor = fields.get("expires_after[anchor]");
  const seconds = fields.get("expires_after[seconds]");
  const isSaid = anchor !== undefined || seconds !== undefined;
  return { purpose, kept: keptSeconds("expires_after", isSaid ? { anchor, seconds } : undefined) };
}

async function listFiles({ batches, principal, query }: Questioned): Promise<Reply> {
  const wish = pageWish(query, limits.filesMost);
  const found = await batches.files.list(principal.project, query.get("purpose") ?? undefined, wish);
  return { json: pageOf(found.map(shown), wish) };
}

async function getFile(asked: Questioned): Promise<Reply> {
  return { json: shown(await foundFile(asked)) };
}

async function content(asked: Questioned): Promise<Reply> {
  const { id, bytes, name } = await foundFile(asked);
  return {
    bytes: asked.batches.files.chunks(asked.principal.project, id),
    length: bytes,
    name,
  };
}

async function removeFile({ batches, principal, names }: Questioned): Promise<Reply> {
  const id = names["file"]!;
  if (!(await batches.files.remove(principal.project, id))) throw fileNotFound(id);
  return { json: { id, object: "file", deleted: true } };
}

async function foundFile({ batches, principal, names }: Questioned): Promise<StoredFile> {
  const id = names["file"]!;
  const found = await batches.files.get(principal.project, id);
  if (!found) throw fileNotFound(id);
  return found;
}

const shown = ({ id, purpose, name, bytes, createdAt, expiresAt }: StoredFile): Json => ({
  id,
  object: "file",
  bytes,
  created_at: secondsOf(createdAt),
  expires_at: secondsOf(expiresAt),
  filename: name,
  purpose,
  status: "processed",
});

export const fileNotFound = (id: string): LineshaftError =>
  new LineshaftError({
    code: "not_found",
    message: `There is no file ${JSON.stringify(id.slice(0, 100))}. It may be another project's, deleted, or expired.`,
    hint: "List them with GET /v1/files.",
  });

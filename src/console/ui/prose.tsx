// The little of Markdown that models write: paragraphs, lists, headings, fenced and inline code, bold and italic. Made of React
// elements, never of HTML text: what a model says cannot become markup.
import { Fragment, type ReactNode } from "react";
import { CopyButton } from "./text.tsx";
import "./prose.css";

interface Block {
  kind: "text" | "code" | "bullets" | "numbers" | "heading";
  lines: string[];
  start?: number;
}

export function Prose({ text }: { text: string }) {
  return (
    <div className="prose">
      {blocksOf(text).map((block, index) => (
        <BlockView key={index} block={block} />
      ))}
    </div>
  );
}

function BlockView({ block }: { block: Block }) {
  switch (block.kind) {
    case "code": {
      const code = block.lines.join("\n");
      return (
        <div className="prose-code">
          <CopyButton text={code} label="Copy code" />
          <pre tabIndex={0} aria-label="Code">
            {code}
          </pre>
        </div>
      );
    }
    case "heading":
      return (
        <p>
          <strong>{inline(block.lines[0] ?? "")}</strong>
        </p>
      );
    case "bullets":
      return (
        <ul>
          {block.lines.map((line, index) => (
            <li key={index}>{inline(line)}</li>
          ))}
        </ul>
      );
    case "numbers":
      return (
        <ol start={block.start}>
          {block.lines.map((line, index) => (
            <li key={index}>{inline(line)}</li>
          ))}
        </ol>
      );
    case "text":
      return (
        <p>
          {block.lines.map((line, index) => (
            <Fragment key={index}>
              {index > 0 ? <br /> : null}
              {inline(line)}
            </Fragment>
          ))}
        </p>
      );
  }
}

function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  let code: Block | undefined;
  let fresh = true;
  for (const line of text.split("\n")) {
    if (line.trimStart().startsWith("```")) {
      if (code === undefined) blocks.push((code = { kind: "code", lines: [] }));
      else code = undefined;
      fresh = true;
      continue;
    }
    if (code !== undefined) {
      code.lines.push(line);
      continue;
    }
    if (line.trim() === "") {
      fresh = true;
      continue;
    }
    const heading = /^#{1,6}\s+(.*)$/.exec(line);
    const bullet = /^\s*[-*•]\s+(.*)$/.exec(line);
    const number = /^\s*(\d{1,3})[.)]\s+(.*)$/.exec(line);
    const last = blocks.at(-1);
    if (heading !== null) blocks.push({ kind: "heading", lines: [heading[1]!] });
    else if (bullet !== null) {
      if (last?.kind === "bullets") last.lines.push(bullet[1]!);
      else blocks.push({ kind: "bullets", lines: [bullet[1]!] });
    } else if (number !== null) {
      if (last?.kind === "numbers") last.lines.push(number[2]!);
      else blocks.push({ kind: "numbers", lines: [number[2]!], start: Number(number[1]) });
    } else if (last?.kind === "text" && !fresh) last.lines.push(line);
    else blocks.push({ kind: "text", lines: [line] });
    fresh = false;
  }
  return blocks;
}

const mark = /`([^`]+)`|\*\*([^*]+)\*\*|(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])/g;

function inline(text: string): ReactNode[] {
  const parts: ReactNode[] = [];
  let at = 0;
  for (const match of text.matchAll(mark)) {
    if (match.index > at) parts.push(text.slice(at, match.index));
    const [all, code, bold, italic] = match;
    parts.push(
      code !== undefined ? (
        <code key={at}>{code}</code>
      ) : bold !== undefined ? (
        <strong key={at}>{bold}</strong>
      ) : (
        <em key={at}>{italic}</em>
      ),
    );
    at = match.index + all.length;
  }
  parts.push(text.slice(at));
  return parts;
}

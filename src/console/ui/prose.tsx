// Markdown that a model wrote, as React elements. What a model writes is not trusted: HTML in it is shown as text, a link leads to
// another site only by http, https or mailto and only when it is clicked, and an image becomes a link, because fetching it would
// tell its server that the answer was read.
import { memo, type ReactNode } from "react";
import Markdown, { type Components, type ExtraProps } from "react-markdown";
import remarkBreaks from "remark-breaks";
import { CopyButton } from "./text.tsx";
import "./prose.css";

/** Memoised: while an answer streams in, the answers above it are not parsed again. */
export const Prose = memo(function Prose({ text }: { text: string }) {
  return (
    <div className="prose">
      <Markdown components={components} remarkPlugins={[remarkBreaks]} urlTransform={safeUrl}>
        {text}
      </Markdown>
    </div>
  );
});

/** Relative addresses would lead into this console or its API, so only whole ones are links. */
function safeUrl(url: string): string | undefined {
  return /^(?:https?:\/\/|mailto:)/i.test(url) ? url : undefined;
}

const components: Components = {
  a: ({ href, children }) => <Outside href={href}>{children}</Outside>,
  img: ({ src, alt }) => <Outside href={src}>{alt === undefined || alt === "" ? "image" : alt}</Outside>,
  pre: CodeBlock,
  // The headings of an answer are not headings of the page.
  h1: Heading,
  h2: Heading,
  h3: Heading,
  h4: Heading,
  h5: Heading,
  h6: Heading,
};

function Outside({ href, children }: { href: unknown; children: ReactNode }) {
  if (typeof href !== "string") return children;
  return (
    <a className="text" href={href} target="_blank" rel="noopener noreferrer nofollow" data-tip={href}>
      {children}
    </a>
  );
}

function Heading({ children }: { children?: ReactNode }) {
  return (
    <p>
      <strong>{children}</strong>
    </p>
  );
}

/** A fenced block is a `pre` with one `code`, whose only child is its text. */
function CodeBlock({ node }: ExtraProps) {
  const texts = node?.children.flatMap((child) => (child.type === "element" ? child.children : [])) ?? [];
  const code = texts.map((child) => (child.type === "text" ? child.value : "")).join("");
  return (
    <div className="prose-code">
      <CopyButton text={code.replace(/\n$/, "")} label="Copy code" />
      <pre tabIndex={0} aria-label="Code">
        {code.replace(/\n$/, "")}
      </pre>
    </div>
  );
}

// Markdown of a model becomes elements of the page. Nothing in it runs, loads a file, or links into the console.
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { Prose } from "./prose.tsx";

const shown = (text: string) => renderToStaticMarkup(createElement(Prose, { text }));

test.each([
  ["**bold**, *italic* and `code`", "<p><strong>bold</strong>, <em>italic</em> and <code>code</code></p>"],
  ["one\ntwo", "<p>one<br/>\ntwo</p>"],
  ["3. three\n4. four", '<ol start="3">\n<li>three</li>\n<li>four</li>\n</ol>'],
  ["- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"],
  ["## A heading is no heading of the page", "<p><strong>A heading is no heading of the page</strong></p>"],
])("%j", (text, markup) => {
  expect(shown(text)).toBe(`<div class="prose">${markup}</div>`);
});

test("a code block has its text and a button that copies it, also while its end is not there yet", () => {
  for (const text of ["```py\nprint('<b>')\n```", "```py\nprint('<b>')"]) {
    expect(shown(text)).toContain('<pre tabindex="0" aria-label="Code">print(&#x27;&lt;b&gt;&#x27;)</pre>');
    expect(shown(text)).toContain('aria-label="Copy code"');
  }
});

test("HTML is text", () => {
  const markup = shown('<script>alert(1)</script>\n\nso <img src="x" onerror="alert(2)"> <b>bold</b>');
  expect(markup).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
  expect(markup).not.toMatch(/<(?:script|img|b)\b/);
});

test("a link leads out by http, https or mailto, in a tab that knows nothing of this one", () => {
  expect(shown("[site](https://example.com/a)")).toContain(
    '<a class="text" href="https://example.com/a" target="_blank" rel="noopener noreferrer nofollow" data-tip="https://example.com/a">site</a>',
  );
  expect(shown("<mailto:a@example.com>")).toContain('href="mailto:a@example.com"');
});

test.each([
  "javascript:alert(1)",
  "JavaScript:alert(1)",
  "java&#x0A;script:alert(1)",
  "data:text/html,alert(1)",
  "vbscript:x",
  "blob:https://example.com/x",
  "file:///etc/passwd",
  "//example.com/x",
  "/api/keys",
  "?open=1",
  "#main",
])("not a link: %s", (url) => {
  expect(shown(`[label](<${url}>)`)).toBe('<div class="prose"><p>label</p></div>');
});

test("an image is a link with its description: nothing is fetched until it is clicked", () => {
  const markup = shown("![a chart](https://example.com/track.png)\n\n![](https://example.com/pixel.gif)");
  expect(markup).not.toContain("<img");
  expect(markup).toContain(">a chart</a>");
  expect(markup).toContain(">image</a>");
  expect(shown("![chart](/api/status)")).toBe('<div class="prose"><p>chart</p></div>');
});

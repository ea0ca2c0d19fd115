// Schemas as zod 4 writes them (`z.toJSONSchema`), each with values that must get through and values that must not.
import { z } from "zod";

const tree = z.object({
  name: z.string(),
  get children() {
    return z.array(tree);
  },
});

export const zodCases: [name: string, schema: z.ZodType, valid: unknown[], invalid: unknown[]][] = [
  ["nullable", z.object({ a: z.string().nullable() }), [{ a: null }, { a: "x" }], [{}, { a: 1 }]],
  [
    "optional",
    z.object({ a: z.string().optional(), b: z.number(), c: z.boolean().optional() }),
    [{ b: 1 }, { a: "", b: -2.5 }, { b: 0, c: true }, { a: "y", b: 7, c: false }],
    [{}, { a: "x" }, { b: "1" }],
  ],
  [
    "all optional",
    z.object({ a: z.int().optional(), b: z.int().optional() }),
    [{}, { a: 1 }, { b: 2 }, { a: 1, b: 2 }],
    [{ c: 1 }, { a: 1.5 }],
  ],
  ["nullish", z.object({ a: z.int().nullish() }), [{}, { a: null }, { a: 3 }], [{ a: "3" }]],
  [
    "nullable of an object",
    z.object({ a: z.object({ b: z.int() }).nullable() }),
    [{ a: null }, { a: { b: 1 } }],
    [{ a: {} }],
  ],
  [
    "discriminated union",
    z.discriminatedUnion("t", [
      z.object({ t: z.literal("a"), x: z.number() }),
      z.object({ t: z.literal("b"), y: z.string() }),
    ]),
    [
      { t: "a", x: 1 },
      { t: "b", y: "" },
    ],
    [{ t: "a", y: "" }, { t: "c" }],
  ],
  ["union", z.union([z.string(), z.number(), z.null()]), ["a", 1, null], [true, []]],
  ["record", z.record(z.string(), z.number()), [{}, { a: 1, "b c": 2.5 }], [{ a: "1" }]],
  ["record of an enum", z.record(z.enum(["p", "q"]), z.int()), [{ p: 1, q: 2 }], [{ p: 1 }, { p: 1, q: 2, r: 3 }]],
  [
    "record of patterned keys",
    z.record(z.string().regex(/^k\d+$/), z.boolean()),
    [{}, { k1: true }, { k1: true, k22: false }],
    [{ x: true }],
  ],
  ["enum", z.enum(["HDF", "PWF", 'it\'s "so"']), ["HDF", 'it\'s "so"'], ["hdf", ""]],
  ["literal", z.literal(["x", 1, null, true]), ["x", 1, null, true], ["y", 2, false]],
  ["tuple", z.tuple([z.string(), z.int()]), [["a", 1]], [["a"], ["a", 1, 2], [1, "a"]]],
  ["tuple with rest", z.tuple([z.string()]).rest(z.int()), [["a"], ["a", 1, 2]], [[], ["a", "b"]]],
  ["int range", z.int().min(1).max(100), [1, 9, 10, 99, 100], [0, 101, -1, 1.5, 1000]],
  ["negative int range", z.int().min(-120).max(-7), [-7, -120, -100, -8], [-6, -121, 7, 0]],
  ["range over zero", z.int().min(-5).max(12), [-5, 0, 12, 5], [-6, 13]],
  ["int", z.int(), [0, -1, 9007199254740991, 42], [1.5, "1"]],
  ["int32", z.int32(), [-2147483648, 2147483647, 0], [2147483648]],
  ["number range", z.number().min(0.5).max(3.75), [0.5, 0.51, 1, 2.999, 3.75, 3.7], [0.4, 0.49, 3.751, 3.8, 4, -1]],
  ["positive number", z.number().positive(), [1, 0.001, 12.34, 123456.789], [0, -1]],
  ["number below", z.number().lt(10), [9.999, -1000, 0, 9], [10, 10.1, 11]],
  ["number strictly between", z.number().gt(1.5).lt(1.75), [1.51, 1.6, 1.7499], [1.5, 1.75, 2]],
  ["temperature", z.number().min(-40).max(85.5), [-40, -39.9, 0, 85.5, 85, 12.25], [-40.1, 85.6, 100]],
  ["float32", z.float32(), [1.5, -2, 0], ["1"]],
  [
    "regex",
    z.object({ code: z.string().regex(/^[a-z]+\d{2,3}$/) }),
    [{ code: "abc12" }, { code: "z999" }],
    [{ code: "abc1" }, { code: "abc1234" }],
  ],
  ["unanchored regex", z.string().regex(/ab/), ["ab", "xaby", '\n"ab'], ["a", "ba"]],
  ["two regexes", z.string().regex(/a/).regex(/b$/), ["ab", "acb"], ["b", "ba"]],
  [
    "regex and length",
    z
      .string()
      .regex(/^[a-z]*$/)
      .min(2)
      .max(4),
    ["ab", "abcd"],
    ["a", "abcde", "AB"],
  ],
  ["starts and ends with", z.string().startsWith("ab").endsWith("z"), ["abz", "abcz"], ["ab", "z"]],
  ["length", z.string().min(1).max(5), ["a", "abcde", 'é😀"\\\n'], ["", "abcdef"]],
  ["long length", z.string().max(300), ["", "x".repeat(300), "y".repeat(129)], ["z".repeat(301)]],
  ["date", z.iso.date(), ["2026-11-22", "2024-02-29"], ["2023-02-29", "2026-13-01", "today"]],
  ["date-time", z.iso.datetime(), ["2026-11-22T07:30:00Z", "2024-02-29T23:59:59.5Z"], ["2026-11-22"]],
  ["time", z.iso.time(), ["07:30", "23:59:59", "01:02:03.5"], ["24:00"]],
  ["uuid", z.uuid(), ["123e4567-e89b-42d3-a456-426614174000"], ["123e4567", ""]],
  ["email", z.email(), ["a.b+c@example.org"], ["a@b", "a"]],
  ["ipv4", z.ipv4(), ["127.0.0.1", "255.255.255.255"], ["256.0.0.1", "1.2.3"]],
  ["ipv6", z.ipv6(), ["::1", "2001:db8:0:0:0:0:0:1"], [":", "12345::"]],
  ["url", z.url(), ["https://example.org/a/b?c=d#e", "http://localhost:8080"], ["example"]],
  ["cuid2", z.cuid2(), ["abc123"], ["ABC", ""]],
  ["array bounds", z.array(z.int()).min(1).max(3), [[1], [1, 2, 3]], [[], [1, 2, 3, 4], ["a"]]],
  ["empty array or more", z.array(z.string()), [[], ["a"], ["a", "b", "c", "d"]], [[1]]],
  [
    "recursive",
    tree,
    [
      { name: "a", children: [] },
      { name: "a", children: [{ name: "b", children: [{ name: "c", children: [] }] }] },
    ],
    [{ name: "a" }, { name: "a", children: [{ name: "b" }] }],
  ],
  [
    "loose object",
    z.looseObject({ a: z.int() }),
    [{ a: 1 }, { a: 1, b: "x", c: [null, { d: true }] }],
    [{ b: 1 }, { a: "1" }],
  ],
  [
    "catchall",
    z.object({ a: z.int().optional() }).catchall(z.string()),
    [{}, { a: 1 }, { b: "x" }, { a: 1, b: "x" }, { ab: "" }],
    [{ b: 1 }, { a: "x" }],
  ],
  [
    "intersection",
    z.intersection(z.object({ a: z.string() }), z.object({ b: z.int() })),
    [{ a: "", b: 1 }],
    [{ a: "" }],
  ],
  ["any", z.object({ v: z.any() }), [{ v: null }, { v: [1, { a: "b" }] }], [[], 1]],
  ["default", z.object({ a: z.string().default("x") }), [{ a: "y" }], [{ a: 1 }]],
  ["exclusive union", z.xor([z.string(), z.int()]), ["a", 1], [true]],
  [
    "boolean and null",
    z.tuple([z.boolean(), z.null()]),
    [
      [true, null],
      [false, null],
    ],
    [[0, null]],
  ],
];

// An object that was parsed from JSON, of which one long list is parsed when it is first read. It reads like any other object: members in
// their order, spread, JSON.stringify. What only looks at the list's shape reads its outline (jsonOutline.ts), and what copies the object
// keeps the list unparsed (`copied`); both are for speed alone.
import type { JsonMembers } from "./json.ts";
import { parseMember } from "./jsonParts.ts";
import type { Bytes } from "./pieces.ts";

type Json = Record<string, unknown>;

interface LazyList {
  name: string;
  outline: readonly unknown[];
  /** The list as it was written. */
  read(): unknown;
}

/** By object, and by each copy of it. */
const lists = new WeakMap<object, LazyList>();

/**
 * One accessor for all objects: a function for each would make a hidden class for each object, which lives until a full collection of
 * garbage and keeps the body with it.
 */
const accessor: PropertyDescriptor & ThisType<Json> = {
  enumerable: true,
  configurable: true,
  get() {
    return lists.get(this)?.read();
  },
  set(value: unknown) {
    const { name } = lists.get(this)!;
    lists.delete(this);
    Object.defineProperty(this, name, { value, enumerable: true, configurable: true, writable: true });
  },
};

/**
 * An object from its JSON, whose member `name` is parsed when it is read. `outline`: the JSON without the long texts of that member, as it
 * was noted in these bytes like `members`. Undefined where the member is no list. Throws SyntaxError.
 */
export function parseLazily(bytes: Bytes, members: JsonMembers, name: string, outline: string): Json | undefined {
  const object = JSON.parse(outline) as Json;
  const list = object[name];
  const member = members.get(name);
  if (!Array.isArray(list) || !member) return undefined;
  let whole: unknown;
  hold(object, { name, outline: list, read: () => (whole ??= parseMember(bytes, member)) });
  return object;
}

function hold(object: Json, list: LazyList): void {
  lists.set(object, list);
  Object.defineProperty(object, list.name, accessor);
}

/** Whether it has the outline of a list of that name. */
export const hasOutline = (object: Json, name: string): boolean => lists.get(object)?.name === name;

/** The list's outline where it is a list of this object that is parsed lazily; else the member itself. Long texts of an outline are ".". */
export function outlineOf(object: Json, name: string): unknown {
  const list = lists.get(object);
  return list?.name === name ? list.outline : object[name];
}

/** Whether both have the very same value there; a list that is parsed lazily is not read. */
export function isSameMember(one: Json, other: Json, name: string): boolean {
  const list = lists.get(one);
  if (list?.name !== name) return one[name] === other[name];
  return list === lists.get(other);
}

/** `more` and those of the members that the object has, by their names; a list that is parsed lazily stays so. */
export function picked(object: Json, names: readonly string[], more: Json): Json {
  const list = lists.get(object);
  const some: Json = { ...more };
  for (const name of names)
    if (list?.name === name) hold(some, list);
    else if (Object.hasOwn(object, name)) some[name] = object[name];
  return some;
}

/** `{ ...object, ...more }`; a list that is parsed lazily stays so. */
export function copied<Body extends Json, More extends Json>(object: Body, more: More): Body & More {
  const list = lists.get(object);
  // An assignment to that name would set the copy's prototype.
  if (!list || Object.hasOwn(object, "__proto__")) return { ...object, ...more };
  const copy: Json = {};
  for (const name in object)
    if (name !== list.name) copy[name] = object[name];
    else if (name in more) copy[name] = undefined;
    else hold(copy, list);
  return Object.assign(copy, more) as unknown as Body & More;
}

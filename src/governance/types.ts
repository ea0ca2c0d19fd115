// Who acts. A principal is made in this room alone, before anything else of a request is looked at, and nothing that a caller writes into
// a body or a header can change it.
export type Role = "owner" | "member";

interface Acting {
  /** Id of the key, `key_…`, on whose budget and in whose name everything is done. */
  key: string;
  organisation: string;
  project: string;
  role: Role;
  /** Currency of the organisation's ledger. */
  currency: string;
}

/** The holder of a key, as it was when the request came. */
export interface KeyPrincipal extends Acting {
  kind: "key";
}

/**
 * A run that acts for the key that started it, with what that key may do now. `act` names the acting party beside the one that it acts for,
 * as in RFC 8693, section 4.1.
 */
export interface RunPrincipal extends Acting {
  kind: "run";
  act: { run: string; agent: string };
}

export type Principal = KeyPrincipal | RunPrincipal;

/** What a principal may see: one project of an organisation, or (null) all of its projects. The form in which statements take it. */
export type Reach = readonly [organisation: string, project: string | null];

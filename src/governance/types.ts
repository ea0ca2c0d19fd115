// Who acts. Resolved once, before anything else is looked at; nothing a caller writes into a body can change it.
export type Role = "owner" | "member";

export interface Principal {
  kind: "key";
  /** Id of the key, `key_…`. */
  key: string;
  organisation: string;
  project: string;
  role: Role;
  /** Currency of the organisation's ledger. */
  currency: string;
}

// How the rows of attempts and calls reach their tables: in the transaction that posts their settlements, so that a bill is never without
// its record. The ledger's poster is given this by the instance.
import type { RecordRows } from "../../ledger/index.ts";
import { isRedone, rowsOfCrash } from "./crash.ts";

/** The gateway's part of every batch that is posted. JSON is the cheapest way to bring many rows over. */
export const callRecords: RecordRows = {
  /** A row that is there already stands: a batch may be posted again. */
  async post(client, { attempts, calls }) {
    await client.query(
      `with recorded as (
         insert into calls select c.* from json_populate_recordset(null::calls, $1) c on conflict (id) do nothing)
       insert into attempts select a.* from json_populate_recordset(null::attempts, $2) a on conflict (id) do nothing`,
      [`[${calls.join()}]`, `[${attempts.join()}]`],
    );
  },
  isRedone,
  ofCrash: rowsOfCrash,
};

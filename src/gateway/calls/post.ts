// How the rows of attempts and calls reach their tables: in the transaction that posts their settlements, so that a bill is never without
// its record. The ledger's poster is given this by the instance.
import type { RecordRows } from "../../ledger/index.ts";
import { isRedone, rowsOfCrash } from "./crash.ts";

/** A call that is a line of a batch, in its row's JSON. */
const ofBatch = '"batch":"';

/**
 * Adds what new calls of batches cost. In the order of their names, so that two processes that post at once do not wait for each other. A
 * batch that was removed gets no price. One that is being removed is waited for, or waits for this posting: its price goes with it.
 */
const withPrices = `,
       kept as (
         select b.id from batches b
          where (b.project, b.id) in (select project, batch from recorded where batch is not null) order by b.id for key share),
       priced as (
         insert into batch_prices as known (batch, price_nano)
         select batch, sum(price_nano) from recorded join kept on kept.id = batch group by batch order by batch
         on conflict (batch) do update set price_nano = known.price_nano + excluded.price_nano)`;

/** The gateway's part of every batch that is posted. JSON is the cheapest way to bring many rows over. */
export const callRecords: RecordRows = {
  /** A row that is there already stands: a batch may be posted again. */
  async post(client, { attempts, calls }) {
    // Most calls are of no batch, and their posting is to cost nothing more.
    const hasBatch = calls.includes(ofBatch);
    await client.query(
      `with recorded as (
         insert into calls select c.* from json_populate_recordset(null::calls, $1) c on conflict (id) do nothing
         ${hasBatch ? "returning project, batch, price_nano" : ""})${hasBatch ? withPrices : ""}
       insert into attempts select a.* from json_populate_recordset(null::attempts, $2) a on conflict (id) do nothing`,
      [calls, attempts],
    );
  },
  isRedone,
  ofCrash: rowsOfCrash,
};

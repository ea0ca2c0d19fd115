// One batch: its counts and price, what is wrong with its input file, and its results to save.
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { BatchResource } from "../../contract/index.ts";
import { send } from "../api/client.ts";
import { batchQuery } from "../api/queries.ts";
import { duration, full, moment } from "../format.ts";
import { FigureName } from "../ui/figure.tsx";
import { DownloadIcon } from "../ui/icons.tsx";
import { Fact, Facts, PageHead } from "../ui/page.tsx";
import { saveFile } from "../ui/saveFile.ts";
import { Failure, isNotThere, NotThere, SkeletonRows } from "../ui/states.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Ago, Id, Money, StateMark } from "../ui/text.tsx";
import { batchState, isOver } from "./batchState.ts";
import { CancelBatch } from "./cancelBatch.tsx";
import "./batch.css";

const up = { label: "Batches", link: { to: "/batches" } as const };

export function BatchScreen() {
  const { id } = useParams({ from: "/batches/$id" });
  const batch = useQuery(batchQuery(id));
  const data = batch.data;
  if (data === undefined)
    return (
      <>
        <PageHead title={id} heading={<span className="mono">{id}</span>} up={up} />
        {batch.error === null ? (
          <div className="panel">
            <SkeletonRows rows={5} />
          </div>
        ) : isNotThere(batch.error) ? (
          <NotThere what="batch" id={id} list={{ label: "All batches", link: up.link }} />
        ) : (
          <Failure error={batch.error} retry={() => void batch.refetch()} />
        )}
      </>
    );
  return (
    <>
      <PageHead
        title={id}
        heading={<Id id={id} />}
        up={up}
        state={<StateMark state={data.status} label={batchState(data.status)} />}
      >
        <CancelBatch batch={data} />
      </PageHead>
      <div className="stack">
        <section className="panel" aria-label="Facts">
          <BatchFacts batch={data} />
        </section>
        {data.problems.length === 0 ? null : <Problems of={data.problems} />}
        <Results batch={data} />
      </div>
    </>
  );
}

function BatchFacts({ batch }: { batch: BatchResource }) {
  return (
    <Facts columns={4}>
      <Fact name={<FigureName of="batch_served" />}>
        <span className="num">
          {full(batch.completed)} of {full(batch.total)}
        </span>
      </Fact>
      <Fact name="Failed">
        <span className={batch.failed === 0 ? "num" : "num bad"}>{full(batch.failed)}</span>
      </Fact>
      <Fact name={<FigureName of="batch_price" />}>
        <Money nano={batch.price_nano} currency={batch.currency} />{" "}
        <Link to="/calls" search={{ batch: batch.id }} className="text">
          its calls
        </Link>
      </Fact>
      <Fact name="Calls">
        <span className="mono">{batch.endpoint}</span>
      </Fact>
      <Fact name="Made">
        <Ago time={batch.created_at} />
      </Fact>
      <Fact name={isOver(batch) ? "Took" : "Window ends"}>
        {batch.ended_at === null ? (
          <time dateTime={batch.expires_at}>{moment(batch.expires_at)}</time>
        ) : (
          <span className="num">{duration(Date.parse(batch.ended_at) - Date.parse(batch.created_at))}</span>
        )}
      </Fact>
      <Fact name="Key">
        <span className="mono">{batch.key ?? "–"}</span>
      </Fact>
    </Facts>
  );
}

type Problem = BatchResource["problems"][number];

const problemColumns: Column<Problem>[] = [
  {
    id: "line",
    head: "Line",
    card: "title",
    cell: ({ line }) => <span className="num">{line === null ? "the file" : full(line)}</span>,
  },
  { id: "code", head: "Code", card: "value", cell: ({ code }) => <span className="mono">{code}</span> },
  { id: "message", head: "What is wrong", card: "note", grow: true, cell: ({ message }) => message },
];

/** A batch whose file has a wrong line has begun nothing. */
function Problems({ of }: { of: Problem[] }) {
  return (
    <section className="panel" aria-labelledby="problems">
      <div className="panel-head">
        <h2 id="problems">What is wrong with its file</h2>
        <span className="aside">no line was served; correct the file and make the batch again</span>
      </div>
      <Table
        label="Problems of the input file"
        columns={problemColumns}
        rows={of}
        rowId={({ line, code, param }) => `${line} ${code} ${param}`}
      />
    </section>
  );
}

function Results({ batch }: { batch: BatchResource }) {
  const { id, output_file: output, error_file: errors } = batch;
  return (
    <section className="panel" aria-labelledby="results">
      <div className="panel-head">
        <h2 id="results">Results</h2>
      </div>
      <div className="panel-body batch-results">
        {output === null && errors === null ? (
          <p className="soft">
            {isOver(batch)
              ? "It ended before a line was served, so it has no results."
              : "They are written when it has ended: one file of the answers, and one of the lines that failed."}
          </p>
        ) : null}
        {output === null ? null : <Save file={output} name={`${id}_output.jsonl`} label="Save the answers" />}
        {errors === null ? null : <Save file={errors} name={`${id}_errors.jsonl`} label="Save the lines that failed" />}
      </div>
    </section>
  );
}

/** Saves a file. It is asked for with the key, which no address may hold, so the browser is given its bytes. */
function Save({ file, name, label }: { file: string; name: string; label: string }) {
  const save = useMutation({
    mutationFn: async () => {
      const response = await send(`/v1/files/${encodeURIComponent(file)}/content`);
      saveFile(await response.blob(), name);
    },
  });
  return (
    <div className="batch-result">
      <button type="button" className="button" disabled={save.isPending} onClick={() => save.mutate()}>
        <DownloadIcon />
        {save.isPending ? "One moment" : label}
      </button>
      <span className="mono muted">{file}</span>
      {save.error === null ? null : <Failure error={save.error} />}
    </div>
  );
}

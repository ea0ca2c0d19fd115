// Alarms: things that an owner must look at although every call was answered. A mark in the top line of every page counts them, and a
// list on the overview says what happened and what to do. Both change with the live events.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { AlarmResource, Status } from "../../contract/index.ts";
import { ApiFailure, send } from "../api/client.ts";
import { statusQuery } from "../api/queries.ts";
import { full, moment } from "../format.ts";
import { WarnIcon } from "../ui/icons.tsx";
import { Failure } from "../ui/states.tsx";
import { Ago } from "../ui/text.tsx";

const useAlarms = (): AlarmResource[] => useQuery(statusQuery).data?.alarms ?? [];

/** The number of alarms, as a link to the overview. Empty without alarms. */
export function AlarmMark() {
  const alarms = useAlarms();
  return (
    <span role="status">
      {alarms.length === 0 ? null : (
        <Link to="/" hash="alarms" className="alarm-mark" data-tip="Alarms that need a person">
          <WarnIcon />
          {full(alarms.length)}
          <span className="alarm-word">{alarms.length === 1 ? "alarm" : "alarms"}</span>
        </Link>
      )}
    </span>
  );
}

export function AlarmList() {
  const alarms = useAlarms();
  const client = useQueryClient();
  const dismiss = useMutation({
    mutationFn: async (id: string) => {
      try {
        await send(`/api/alarms/${encodeURIComponent(id)}`, { method: "DELETE" });
      } catch (error) {
        // The alarm ended by itself before it was dismissed.
        if (!(error instanceof ApiFailure) || error.status !== 404) throw error;
      }
      return id;
    },
    onSuccess: (id) =>
      client.setQueryData<Status>(["status"], (old) =>
        old === undefined ? old : { ...old, alarms: old.alarms.filter((alarm) => alarm.id !== id) },
      ),
  });
  if (alarms.length === 0) return null;
  return (
    <section className="panel alarms" id="alarms" aria-labelledby="alarms-head">
      <div className="panel-head">
        <h2 id="alarms-head">Alarms</h2>
        <span className="aside">also in the log and in lineshaft status</span>
      </div>
      <ul>
        {alarms.map((alarm) => (
          <li key={alarm.id} className="alarm">
            <WarnIcon className="bad" />
            <div>
              <p>{alarm.message}</p>
              <p className="alarm-facts">
                <span className="mono">{alarm.code}</span>
                {alarm.subject === null ? null : <span>{alarm.subject}</span>}
                <span className="num" data-tip={`First ${moment(alarm.first_at)}`}>
                  {alarm.count === 1 ? "once" : `${full(alarm.count)} times`}, last <Ago time={alarm.last_at} />
                </span>
              </p>
            </div>
            <button
              type="button"
              className="button small bare"
              aria-label={`Dismiss ${alarm.code}${alarm.subject === null ? "" : ` of ${alarm.subject}`}`}
              onClick={() => dismiss.mutate(alarm.id)}
            >
              Dismiss
            </button>
          </li>
        ))}
      </ul>
      {dismiss.error === null ? null : <Failure error={dismiss.error} />}
    </section>
  );
}

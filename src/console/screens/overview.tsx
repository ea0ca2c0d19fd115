// The overview: health, what the agents do, what their work costs and earns, and what went wrong. Each part links to its details.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { overviewQuery, type OverviewRange } from "../api/queries.ts";
import { AlarmList } from "../frame/alarms.tsx";
import { overviewRanges } from "../addresses.ts";
import { Segmented } from "../ui/filter.tsx";
import { PageHead, TopTools } from "../ui/page.tsx";
import { Failure, SkeletonFigures } from "../ui/states.tsx";
import { Health } from "./health.tsx";
import { Figures, Charts } from "./overviewFigures.tsx";
import { Alive, Wrong } from "./overviewLists.tsx";
import "./overview.css";

const rangeNames: Record<OverviewRange, string> = {
  "1h": "Last hour",
  "24h": "Last 24 hours",
  "7d": "Last 7 days",
  "30d": "Last 30 days",
};

export function OverviewScreen() {
  const range = useSearch({ from: "/" }).range ?? "24h";
  const navigate = useNavigate({ from: "/" });
  const { data, error, refetch } = useQuery({ ...overviewQuery(range), placeholderData: (old) => old });
  return (
    <>
      <TopTools>
        <Segmented
          label="Time range"
          value={range}
          options={overviewRanges.map((value) => ({ value, label: value, tip: rangeNames[value] }))}
          onChange={(value) => void navigate({ search: value === "24h" ? {} : { range: value }, replace: true })}
        />
      </TopTools>
      <PageHead title="Overview" note={rangeNames[range]} />
      <div className="stack">
        <AlarmList />
        <Health />
        {data !== undefined ? (
          <Figures data={data} range={range} />
        ) : error === null ? (
          <SkeletonFigures count={8} />
        ) : (
          <Failure error={error} retry={() => void refetch()} />
        )}
        {data === undefined ? null : <Charts data={data} />}
        <div className="pair">
          <Alive />
          <Wrong />
        </div>
      </div>
    </>
  );
}

// Keys, budgets and limits on use. Owners create and end them here, members see them.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { statusQuery } from "../api/queries.ts";
import { Segmented } from "../ui/filter.tsx";
import { PlusIcon } from "../ui/icons.tsx";
import { PageHead } from "../ui/page.tsx";
import { Budgets, SetBudget } from "./budgets.tsx";
import { Keys, CreateKey } from "./keys.tsx";
import { SetLimit, UsageLimits } from "./usageLimits.tsx";
import "./access.css";

export const accessTabs = ["keys", "budgets", "runs", "limits"] as const;
export type AccessTab = (typeof accessTabs)[number];

const make: Record<AccessTab, string> = {
  keys: "Create a key",
  budgets: "Set a budget",
  runs: "Set a budget",
  limits: "Set a limit",
};

export function AccessScreen() {
  const { tab = "keys" } = useSearch({ from: "/access" });
  const navigate = useNavigate({ from: "/access" });
  const owner = useQuery(statusQuery).data?.role === "owner";
  const [making, setMaking] = useState(false);
  return (
    <>
      <PageHead title="Access" note="Who may call, what they may spend, and how much they may use">
        <Segmented
          label="What to show"
          value={tab}
          options={[
            { value: "keys", label: "Keys" },
            { value: "budgets", label: "Budgets" },
            { value: "runs", label: "Limits of runs", tip: "Budgets that runs got from their agent's manifest" },
            { value: "limits", label: "Limits on use", tip: "Requests, tokens, calls and bytes" },
          ]}
          onChange={(value) => void navigate({ search: value === "keys" ? {} : { tab: value }, replace: true })}
        />
        {owner ? (
          <button type="button" className="button primary" onClick={() => setMaking(true)}>
            <PlusIcon />
            {make[tab]}
          </button>
        ) : null}
      </PageHead>
      {tab === "keys" ? (
        <>
          <Keys owner={owner} />
          <CreateKey open={making} onOpenChange={setMaking} />
        </>
      ) : tab === "limits" ? (
        <>
          <UsageLimits owner={owner} />
          <SetLimit open={making} onOpenChange={setMaking} />
        </>
      ) : (
        <>
          <Budgets owner={owner} ofRuns={tab === "runs"} />
          <SetBudget open={making} onOpenChange={setMaking} />
        </>
      )}
    </>
  );
}

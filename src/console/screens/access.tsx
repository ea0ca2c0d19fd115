// Keys and budgets. Owners create and end them here, members see them.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Segmented } from "../ui/filter.tsx";
import { PageHead } from "../ui/page.tsx";
import { useState } from "react";
import { statusQuery } from "../api/queries.ts";
import { PlusIcon } from "../ui/icons.tsx";
import { Keys, CreateKey } from "./keys.tsx";
import { Budgets, SetBudget } from "./budgets.tsx";
import "./access.css";

export function AccessScreen() {
  const { tab = "keys" } = useSearch({ from: "/access" });
  const navigate = useNavigate({ from: "/access" });
  const owner = useQuery(statusQuery).data?.role === "owner";
  const [making, setMaking] = useState(false);
  return (
    <>
      <PageHead title="Access" note="Who may call, and what they may spend">
        <Segmented
          label="What to show"
          value={tab}
          options={[
            { value: "keys", label: "Keys" },
            { value: "budgets", label: "Budgets" },
            { value: "runs", label: "Limits of runs", tip: "Budgets that runs got from their agent's manifest" },
          ]}
          onChange={(value) => void navigate({ search: value === "keys" ? {} : { tab: value }, replace: true })}
        />
        {owner ? (
          <button type="button" className="button primary" onClick={() => setMaking(true)}>
            <PlusIcon />
            {tab === "keys" ? "Create a key" : "Set a budget"}
          </button>
        ) : null}
      </PageHead>
      {tab === "keys" ? <Keys owner={owner} /> : <Budgets owner={owner} ofRuns={tab === "runs"} />}
      {tab === "keys" ? (
        <CreateKey open={making} onOpenChange={setMaking} />
      ) : (
        <SetBudget open={making} onOpenChange={setMaking} />
      )}
    </>
  );
}

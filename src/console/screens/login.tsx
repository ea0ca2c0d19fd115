// The login: a field for a key, and where to find one. A key is tried before it is kept. It is sent in the authorization header only.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState, type FormEvent } from "react";
import type { Status } from "../../contract/index.ts";
import { ApiFailure, getJson } from "../api/client.ts";
import { signIn } from "../api/session.ts";
import { Mark } from "../ui/icons.tsx";
import { Command } from "../ui/text.tsx";
import "./login.css";

export function Login() {
  const { to, why } = useSearch({ from: "/login" });
  const navigate = useNavigate();
  const [key, setKey] = useState("");
  const [stay, setStay] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiFailure>();

  useEffect(() => {
    document.title = "Sign in · Lineshaft";
  }, []);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const typed = key.trim();
    if (typed === "") return;
    setBusy(true);
    setError(undefined);
    try {
      await getJson<Status>("/api/status", { key: typed });
      signIn(typed, stay);
      await navigate({ href: to === undefined ? "/console/" : `/console${to}`, replace: true });
    } catch (problem) {
      setError(
        problem instanceof ApiFailure
          ? problem
          : new ApiFailure({ status: 0, code: "unknown", message: String(problem) }),
      );
      setBusy(false);
    }
  };

  return (
    <div className="login">
      <main className="login-box" aria-labelledby="login-title">
        <div className="login-brand">
          <Mark size={28} />
          <h1 id="login-title">Sign in to Lineshaft</h1>
        </div>
        {why === "expired" && error === undefined ? (
          <p className="login-why">The key was refused: it may have been revoked. Sign in with another.</p>
        ) : null}
        <form onSubmit={submit}>
          <label className="field">
            <span className="label">Key</span>
            <input
              className="input mono"
              type="password"
              name="key"
              autoComplete="current-password"
              spellCheck={false}
              autoFocus
              required
              value={key}
              aria-invalid={error !== undefined}
              aria-describedby={error === undefined ? undefined : "login-error"}
              onChange={(event) => setKey(event.target.value)}
            />
          </label>
          {error === undefined ? null : (
            <p id="login-error" role="alert" className="login-error">
              {error.status === 401 ? "This key is not known here, or it was revoked." : error.message}
              {error.status === 401 ? (
                <span>Look whether it was copied whole: a key begins with lsk_ and has 47 characters.</span>
              ) : error.hint === undefined || error.message.includes(error.hint) ? null : (
                <span>{error.hint}</span>
              )}
            </p>
          )}
          <label className="check">
            <input type="checkbox" checked={stay} onChange={(event) => setStay(event.target.checked)} />
            Stay signed in on this browser
          </label>
          <button type="submit" className="button primary" disabled={busy}>
            {busy ? "Signing in" : "Sign in"}
          </button>
        </form>
        <div className="login-help">
          <p>
            The owner's key was printed at the first start. It is kept in the file <code>credentials</code> in
            Lineshaft's home, on the machine where Lineshaft runs:
          </p>
          <Command>{'cat "${LINESHAFT_HOME:-$HOME/.lineshaft}/credentials"'}</Command>
          <p>An owner makes a key for you, here under Access or in a terminal:</p>
          <Command>npx lineshaft keys create laptop</Command>
        </div>
      </main>
    </div>
  );
}

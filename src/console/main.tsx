// Entry of the console: styles, the cache of what was read, the router. A key that is refused anywhere ends the session and leads to the
// login, which returns to the same address. Shared styles come first, so that those of a part can change them.
import "./styles/tokens.css";
import "./styles/base.css";
import "./frame/frame.css";
import "./screens/screens.css";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiFailure } from "./api/client.ts";
import { signOut, watchKey } from "./api/session.ts";
import { router } from "./router.tsx";
import { showTheme } from "./ui/media.ts";
import { installTips } from "./ui/tip.ts";

showTheme();
installTips();

const client = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      if (!(error instanceof ApiFailure) || error.status !== 401) return;
      const { pathname, href } = router.state.location;
      if (pathname === "/login") return;
      signOut();
      void router.navigate({ to: "/login", search: { why: "expired", to: href }, replace: true });
    },
  }),
  defaultOptions: {
    queries: {
      // Events say when something has changed, so what was read stays valid until then.
      staleTime: 30_000,
      refetchOnWindowFocus: false,
      retry: (count, error) =>
        count < 2 && (!(error instanceof ApiFailure) || error.status === 0 || error.status >= 500),
      retryDelay: (count) => 400 * 2 ** count,
    },
  },
});

watchKey(() => {
  client.clear();
  void router.invalidate();
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);

// The outermost component: the login stands alone, everything else inside the frame.
import { Outlet, useRouterState } from "@tanstack/react-router";
import { Frame } from "./frame.tsx";

export function Root() {
  const bare = useRouterState({ select: (state) => state.location.pathname === "/login" });
  if (bare) return <Outlet />;
  return (
    <Frame>
      <Outlet />
    </Frame>
  );
}

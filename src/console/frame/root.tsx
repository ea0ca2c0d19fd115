// The outermost component. The login has no frame, all other screens are inside it.
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

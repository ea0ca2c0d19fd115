// An address that leads nowhere.
import { Link } from "@tanstack/react-router";
import { Empty } from "../ui/states.tsx";

export function Missing() {
  return (
    <Empty
      title="There is nothing at this address"
      action={
        <Link to="/" className="button">
          Go to the overview
        </Link>
      }
    >
      It may have been mistyped, or belong to a newer version of Lineshaft.
    </Empty>
  );
}

// The page of an address that does not exist.
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
      It may be mistyped, or belong to another version of Lineshaft.
    </Empty>
  );
}

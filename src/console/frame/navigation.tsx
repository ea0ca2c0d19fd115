// The ways to the places: the side bar, and on narrow screens a bottom bar with the places that are looked at most and a drawer
// with all of them.
import { Dialog } from "@base-ui/react/dialog";
import { Link, useRouterState } from "@tanstack/react-router";
import { signOut } from "../api/session.ts";
import { CloseIcon, KeyboardIcon, LeaveIcon, Mark, MoreIcon } from "../ui/icons.tsx";
import { LiveMark } from "./connection.tsx";
import { places, sectionOf } from "./places.ts";
import { ThemeSwitch } from "./themeSwitch.tsx";

const bottomPlaces = ["/", "/runs", "/calls", "/bill"];

export function SideBar({ onShortcuts }: { onShortcuts: () => void }) {
  return (
    <nav className="side" aria-label="Main">
      <Link to="/" className="brand" aria-label="Lineshaft, overview">
        <Mark />
        <span>Lineshaft</span>
      </Link>
      <Places />
      <div className="side-foot">
        <LiveMark />
        <div className="side-tools">
          <ThemeSwitch />
          <button
            type="button"
            className="icon-button"
            aria-label="Keyboard shortcuts"
            data-tip="Keyboard shortcuts (?)"
            onClick={onShortcuts}
          >
            <KeyboardIcon />
          </button>
          <button type="button" className="icon-button" aria-label="Sign out" data-tip="Sign out" onClick={signOut}>
            <LeaveIcon />
          </button>
        </div>
      </div>
    </nav>
  );
}

function Places({ onGo }: { onGo?: () => void }) {
  const section = useRouterState({ select: (state) => sectionOf(state.location.pathname) });
  return (
    <ul className="places">
      {places.map(({ to, label, icon: Icon }) => (
        <li key={to}>
          <Link to={to} className="place" aria-current={section === to ? "page" : undefined} onClick={onGo}>
            <Icon />
            {label}
          </Link>
        </li>
      ))}
    </ul>
  );
}

export function BottomBar({ onMore }: { onMore: () => void }) {
  const section = useRouterState({ select: (state) => sectionOf(state.location.pathname) });
  const elsewhere = !bottomPlaces.includes(section);
  return (
    <nav className="bottom" aria-label="Main">
      {places
        .filter((place) => bottomPlaces.includes(place.to))
        .map(({ to, label, icon: Icon }) => (
          <Link key={to} to={to} className="bottom-place" aria-current={section === to ? "page" : undefined}>
            <Icon />
            {label}
          </Link>
        ))}
      <button type="button" className={elsewhere ? "bottom-place on" : "bottom-place"} onClick={onMore}>
        <MoreIcon />
        More
      </button>
    </nav>
  );
}

export function Drawer(props: { open: boolean; onOpenChange: (open: boolean) => void; onSearch: () => void }) {
  const close = () => props.onOpenChange(false);
  return (
    <Dialog.Root open={props.open} onOpenChange={props.onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="drawer popup">
          <div className="drawer-head">
            <Dialog.Title render={<h2 />}>Go to</Dialog.Title>
            <Dialog.Close className="icon-button" aria-label="Close">
              <CloseIcon />
            </Dialog.Close>
          </div>
          <Places onGo={close} />
          <div className="drawer-foot">
            <LiveMark />
            <div className="side-tools">
              <ThemeSwitch />
              <button type="button" className="icon-button" aria-label="Sign out" onClick={signOut}>
                <LeaveIcon />
              </button>
            </div>
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

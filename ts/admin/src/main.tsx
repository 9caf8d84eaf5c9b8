import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { look, type Me } from "./api.ts";
import { Find } from "./find.tsx";
import { Now } from "./now.tsx";
import { useLook } from "./parts.tsx";
import { Revocations } from "./revoke.tsx";
import { Conn, Session, User } from "./views.tsx";

/** Where the page is: #/session/chat-1. */
function usePlace(): [kind: string, name: string] {
  const read = (): [string, string] => {
    const [, kind = "", name = ""] = location.hash.split("/");
    return [kind, decodeURIComponent(name)];
  };
  const [at, set] = useState(read);
  useEffect(() => {
    const moved = () => set(read());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return at;
}

function View({ kind, name, acts }: { kind: string; name: string; acts: boolean }) {
  switch (kind) {
    case "find":
      return <Find />;
    case "revoked":
      return <Revocations acts={acts} />;
    case "user":
      return <User key={name} name={name} acts={acts} />;
    case "session":
      return <Session key={name} name={name} acts={acts} />;
    case "conn":
      return <Conn key={name} name={name} />;
  }
  return <Now acts={acts} />;
}

function Page() {
  const [kind, name] = usePlace();
  const { value: me } = useLook(() => look<Me>("me"), 60_000, "me");
  return (
    <>
      <header>
        <a class="brand" href="#/">
          Holdfast
        </a>
        <nav>
          <a href="#/" aria-current={kind === "" ? "page" : undefined}>
            Now
          </a>
          <a href="#/find" aria-current={kind === "find" ? "page" : undefined}>
            Find
          </a>
          <a href="#/revoked" aria-current={kind === "revoked" ? "page" : undefined}>
            Revoked
          </a>
        </nav>
        {me && (
          <span class="dim">
            {me.name}, {me.acts ? "may act" : "looks"}
          </span>
        )}
      </header>
      <View kind={kind} name={name} acts={me?.acts ?? false} />
    </>
  );
}

render(<Page />, document.body);

/** Who is signed in, and for how long. */
export interface Session {
  /** The user's id, as in the token. */
  user: string | number;
  /** Seconds until the session ends. It is renewed after 80 % of them. [300] */
  expires_in?: number;
}

/** An event of the service. `type` is its name, `data` its text, `lastEventId` its position. */
export type PushEvent = MessageEvent<string>;

/**
 * How events come to the page. `auto` is a stream, and long polling where a proxy holds streams back.
 * A client may be replaced by one with another transport at any time: order and positions are the same in all.
 */
export type Transport = "auto" | "sse" | "websocket" | "long-polling" | "polling";

export type Status = "connecting" | "live" | "reconnecting" | "closed";

export interface PushOptions {
  /** URL of the stream: complete if it is on another origin, as `https://push.example.com/events`. ["/events"] */
  url?: string | URL;
  /** Names of the events to receive; `message` are those without a name. A name that has a listener is added. ["message"] */
  types?: Iterable<string>;
  /**
   * Posts a token to `/session`. Resolves to null if nobody is signed in. If it rejects, it is called again later.
   * Leave it out if the service knows the user without it: by the load balancer, or by your own session cookie.
   */
  session?: () => Promise<Session | null>;
  /**
   * Fetches the state from your back end, and shows it. It is called when the page begins, and whenever events may be
   * missing. Events wait until it is done. If it rejects, it is called again later.
   */
  load?: () => unknown;
  /** Shows one event. Events may come in any order, because queues deliver at least once. */
  apply?: (event: PushEvent) => unknown;
  /**
   * The session now belongs to another user, or to nobody (null). The client has closed. If nobody was signed in from
   * the beginning, this is not called: the status is `closed`.
   */
  userChanged?: (user: string | null) => unknown;
  /** Hears each change of `status`. */
  status?: (status: Status) => unknown;
  /** ["auto"] */
  transport?: Transport;
  /** Pause between two polls of the transport `polling`, in milliseconds. [10000] */
  interval?: number;
  /** Begin after this id, instead of at the present: of a page that your back end has rendered, or of another client. */
  lastEventId?: string;
  /** Hold one connection for all tabs of the browser that ask for the same. [true] */
  share?: boolean;
  /** Resume after a reload of the page. Only for pages that keep their state themselves. [false] */
  remember?: boolean;
}

interface PushEventMap {
  /** The connection is live. */
  open: Event;
  /** The connection is lost. The client comes back by itself. */
  error: Event;
  /** Events may be missing. `data` is JSON: `{"reason": …}`. The client has called `load`. */
  "stream.gap": PushEvent;
  /** The service has ended the connection. `data` is JSON: `{"reason": …, "reconnect": …}`. */
  "stream.close": PushEvent;
  "stream.ready": PushEvent;
  "stream.cursor": PushEvent;
  "stream.heartbeat": PushEvent;
}

/**
 * Follows one user's events. It connects by itself after the current task, and comes back after every failure, until
 * `close` is called or the session belongs to another user.
 */
export class PushClient extends EventTarget {
  constructor(options?: PushOptions);
  constructor(url: string | URL, options?: PushOptions);
  readonly status: Status;
  /** The position up to which events have come. Empty before the first. */
  readonly lastEventId: string;
  /** 0 not connected, 1 live, 2 closed for good. */
  readonly readyState: 0 | 1 | 2;
  /** Ends the connection for good. */
  close(): void;
  /** Asks for the session again, and connects anew. */
  reconnect(): void;
  addEventListener<K extends keyof PushEventMap>(
    type: K,
    listener: (this: PushClient, event: PushEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: ((this: PushClient, event: PushEvent) => unknown) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** Stands for parts of the client that this checkout does not have; the cases that need them say that they are pending. */
function missing(): never {
  throw new Error("this checkout does not have it");
}

export const tabs = missing;
export const fallback = missing;
export const durableOutbox = missing;
export const sessionCache = missing;

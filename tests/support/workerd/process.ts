// Stands in for node:process within workerd.

/** Nothing is set. */
export const env: Record<string, string | undefined> = {};

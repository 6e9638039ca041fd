/** Work that takes a slot, such as a port, for as long as it runs. */
export interface Slotted {
  readonly slot: string;
}

/** Runs the items in their order, at most `lanes` at once and at most one of a slot; resolves when all have run. */
export function schedule<Item extends Slotted>(
  items: readonly Item[],
  lanes: number,
  run: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const taken = new Set<string>();
  return new Promise((resolve, reject) => {
    const begin = (): void => {
      while (taken.size < lanes) {
        const index = queue.findIndex(({ slot }) => !taken.has(slot));
        const [item] = index < 0 ? [] : queue.splice(index, 1);
        if (item === undefined) break;
        taken.add(item.slot);
        run(item).then(() => {
          taken.delete(item.slot);
          begin();
        }, reject);
      }
      if (queue.length === 0 && taken.size === 0) resolve();
    };
    begin();
  });
}

/** What the pages have in common: their parameters, and a list that grows until the stream's end is told. */

const query = new URLSearchParams(location.search);

/** A parameter of the page's address. */
export function need(name: string): string {
  const value = query.get(name);
  if (value === null) throw new Error(`the page's address lacks ?${name}=`);
  return value;
}

/** Shows each line that `work` tells, with the time of its arrival, and then how it ended. */
export async function show(work: (line: (text: string) => void) => Promise<void>): Promise<void> {
  const list = document.querySelector("ol");
  const status = document.querySelector("output");
  if (list === null || status === null) throw new Error("the page lacks its elements");
  try {
    await work((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      item.dataset["at"] = String(performance.now());
      list.append(item);
    });
    status.textContent = "complete";
  } catch (error) {
    status.textContent = String(error);
  }
}

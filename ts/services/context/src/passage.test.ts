import { expect, test } from "vitest";
import { dropDuplicates, type Passage, rank } from "./passage.js";

const passage = (id: string, text: string, score = 0.5, preferred = false): Passage => ({
  source: { kind: "memory", memoryId: id },
  title: id,
  text,
  snippet: "",
  score,
  preferred,
});
const texts = (passages: readonly Passage[]) => passages.map(({ title }) => title);

test("ranking_is_by_score_then_by_id", () => {
  expect(texts(rank([passage("b", "", 0.2), passage("c", "", 0.9), passage("a", "", 0.2)]))).toEqual(["c", "a", "b"]);
});

test("preferred_session_lifts_a_passage_over_a_little_better_one_only", () => {
  const mine = passage("mine", "", 0.5, true);
  expect(texts(rank([passage("other", "", 0.6), mine]))).toEqual(["mine", "other"]);
  expect(texts(rank([passage("other", "", 0.7), mine]))).toEqual(["other", "mine"]);
});

test.each([
  ["same_text", "The invoice is due on Friday.", "The invoice is due on Friday."],
  ["other_case_and_spaces", "The invoice is due on Friday.", "the  INVOICE is\ndue on friday."],
  ["part_of_a_better_one", "The invoice is due on Friday, says Anna.", "The invoice is due on Friday"],
  [
    "nearly_all_the_same_words",
    "On Monday the team met in Berlin and agreed to ship the first version of the mesh before the end of the year",
    "On Monday the team met in Berlin and agreed to ship the first version of the mesh before the end of the month",
  ],
])("passage_of_%s_is_dropped", (_, better, worse) => {
  expect(texts(dropDuplicates([passage("better", better), passage("worse", worse)]))).toEqual(["better"]);
});

test.each([
  ["another_fact", "The invoice is due on Friday.", "The invoice is due on Monday."],
  ["more_than_the_better_one", "The invoice is due.", "The invoice is due. It was sent to Anna by mail last week."],
  ["what_goes_on_far_beyond_a_long_beginning", "word ".repeat(1000), `${"word ".repeat(1000)}${"end ".repeat(1000)}`],
  ["other_writing_systems", "政府周三决定", "道路施工开始"],
])("passage_of_%s_stays", (_, better, worse) => {
  expect(texts(dropDuplicates([passage("better", better), passage("worse", worse)]))).toEqual(["better", "worse"]);
});

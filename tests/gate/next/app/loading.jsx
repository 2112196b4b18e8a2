/** What is shown while a page is rendered. */
export default function Loading() {
  return null;
}

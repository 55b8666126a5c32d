// Sorts a table by the column whose heading is clicked; once more turns it round.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const column = [...heading.parentElement.children].indexOf(heading);
    const body = heading.closest("table").tBodies[0];
    const up = heading.getAttribute("aria-sort") === "descending";
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => Number(row.children[column].dataset.value ?? 0);
    const rows = [...body.rows].sort((a, b) => (up ? value(a) - value(b) : value(b) - value(a)));
    body.append(...rows);
  });
}

// Comfort only: every page works without this script.
for (const form of document.querySelectorAll("[data-select]")) {
  const label = form.querySelector("[data-select-all]");
  const all = label?.querySelector("input");
  const submit = form.querySelector("[data-select-submit]");
  const boxes = [...form.querySelectorAll("input[name=session_id]")];
  if (!all || !submit || boxes.length === 0) continue;
  const text = submit.textContent;
  const count = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
    submit.disabled = ticked === 0;
    submit.textContent = ticked === 0 ? text : `End ${ticked} selected…`;
  };
  label.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    count();
  });
  form.addEventListener("change", count);
  // A page that comes back from the browser's history has its ticks, but did not tell us.
  window.addEventListener("pageshow", count);
}
// A preview is of the options that it was made for: until it is updated, the button that removes is off.
for (const form of document.querySelectorAll("[data-preview]")) {
  const stale = form.querySelector("[data-preview-stale]");
  const submit = form.querySelector("[data-preview-submit]");
  const boxes = [...form.querySelectorAll("fieldset input[type=checkbox]")];
  const compare = () => {
    const changed = boxes.some((box) => box.checked !== box.defaultChecked);
    stale.hidden = !changed;
    submit.disabled = changed;
  };
  form.addEventListener("change", compare);
  window.addEventListener("pageshow", compare);
}

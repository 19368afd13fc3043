// What HTMX does not do: repeated rows in forms, and focus after a swap. No state, no storage.
//
// Rows:  <div data-rows>
//          <div data-row>… name="arms-0-name" … <button type="button" data-row-remove>Remove</button></div>
//          <template data-row-template><div data-row>… name="arms-__prefix__-name" …</div></template>
//          <button type="button" data-row-add>Add</button>
//        </div>
// With a Django formset, its TOTAL_FORMS field inside [data-rows] is kept; a removed row with a
// DELETE checkbox is marked and hidden, so that the numbers of the other rows stay as they are.
(() => {
  "use strict";

  const announce = (container, text) => {
    const region = container.querySelector("[data-rows-status]");
    if (region && text) region.textContent = text;
  };

  const visibleRows = (container) =>
    [...container.querySelectorAll("[data-row]")].filter((row) => !row.hidden);

  const changed = (container) =>
    container.dispatchEvent(new CustomEvent("rows:change", { bubbles: true }));

  const addRow = (container) => {
    const template = container.querySelector("template[data-row-template]");
    const total = container.querySelector("input[name$='-TOTAL_FORMS']");
    const index = total ? Number(total.value) : container.querySelectorAll("[data-row]").length;
    const holder = document.createElement("div");
    holder.innerHTML = template.innerHTML.replaceAll("__prefix__", String(index));
    const row = holder.firstElementChild;
    const place = container.querySelector("[data-rows-end]") || template;
    place.before(row);
    if (total) total.value = String(index + 1);
    if (window.htmx) window.htmx.process(row);
    const first = row.querySelector("input:not([type=hidden]), select, textarea");
    if (first) first.focus();
    announce(container, container.dataset.rowsAdded);
    changed(container);
  };

  const removeRow = (container, row) => {
    const rows = visibleRows(container);
    const next = rows[rows.indexOf(row) - 1] || rows[rows.indexOf(row) + 1];
    const mark = row.querySelector("input[name$='-DELETE']");
    if (mark) {
      mark.checked = true;
      row.hidden = true;
      // Hidden controls must not stop the form with a message nobody can see.
      row.querySelectorAll("[required]").forEach((control) => control.removeAttribute("required"));
    } else {
      row.remove();
    }
    const target = next && next.querySelector("input:not([type=hidden]), select, textarea");
    (target || container.querySelector("[data-row-add]"))?.focus();
    announce(container, container.dataset.rowsRemoved);
    changed(container);
  };

  // <button data-share-equally="-percent">: 100 split over the number fields whose name ends so; the first gets the rest.
  const shareEqually = (container, ending) => {
    const fields = visibleRows(container).map((row) => row.querySelector(`input[name$='${ending}']`));
    const share = Math.floor(100 / fields.length);
    fields.forEach((field, index) => {
      field.value = String(index ? share : 100 - share * (fields.length - 1));
    });
    changed(container);
  };

  document.addEventListener("click", (event) => {
    const share = event.target.closest("[data-share-equally]");
    if (share) shareEqually(share.closest("[data-rows]"), share.dataset.shareEqually);
    const add = event.target.closest("[data-row-add]");
    if (add) addRow(add.closest("[data-rows]"));
    const remove = event.target.closest("[data-row-remove]");
    if (remove) removeRow(remove.closest("[data-rows]"), remove.closest("[data-row]"));
  });

  // A page may name the element that should have the focus (what was refused, and why), and so may a fragment.
  document.querySelector("[data-focus]")?.focus();
  document.addEventListener("htmx:afterSwap", (event) => {
    event.detail.target.querySelector?.("[data-focus]")?.focus();
  });

  // A failed request must be seen: the page says so instead of staying silent.
  document.addEventListener("htmx:responseError", () => {
    const region = document.getElementById("request-failed");
    if (region) region.hidden = false;
  });
  document.addEventListener("htmx:sendError", () => {
    const region = document.getElementById("request-failed");
    if (region) region.hidden = false;
  });
})();

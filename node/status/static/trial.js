// Suggestions in the text of the routes, and lines to jump to. Without it, the buttons of the form do the same work.
"use strict";
(() => {
  const field = document.getElementById("draft");
  const list = document.getElementById("words");
  let chosen = -1;

  const goTo = (line) => {
    const start = field.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    const end = field.value.indexOf("\n", start);
    field.focus();
    field.setSelectionRange(start, end < 0 ? field.value.length : end);
    field.scrollTop = (line - 4) * parseFloat(getComputedStyle(field).lineHeight);
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]");
    if (!link || !field) return;
    event.preventDefault();
    goTo(Number(link.dataset.line));
  });
  if (!field || !list) return;

  const words = () => [...list.querySelectorAll("[role=option]")];
  const close = () => {
    list.hidden = true;
    list.replaceChildren();
    choose(-1);
  };
  const choose = (index) => {
    const all = words();
    chosen = all.length ? (index + all.length) % all.length : -1;
    if (index < 0) chosen = -1;
    all.forEach((one, at) => one.setAttribute("aria-selected", String(at === chosen)));
    if (chosen < 0) field.removeAttribute("aria-activedescendant");
    else {
      field.setAttribute("aria-activedescendant", all[chosen].id);
      all[chosen].scrollIntoView({ block: "nearest" });
    }
  };
  const take = (one) => {
    const at = field.selectionStart;
    field.setRangeText(one.dataset.word, at - Number(one.dataset.typed), at, "end");
    close();
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const ask = () =>
    htmx.ajax("POST", "/routes/try/completions", {
      target: list,
      swap: "innerHTML",
      values: { field: "draft", draft: field.value, at: field.selectionStart },
    });

  let waiting = 0;
  field.addEventListener("input", (event) => {
    clearTimeout(waiting);
    if (event.inputType === "insertText" || event.inputType === "deleteContentBackward") waiting = setTimeout(ask, 200);
    else close();
  });
  list.addEventListener("htmx:afterSwap", () => {
    choose(-1);
    list.hidden = words().length === 0;
  });
  list.addEventListener("mousedown", (event) => {
    const one = event.target.closest("[role=option]");
    if (one) {
      event.preventDefault();
      take(one);
    }
  });
  field.addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.key === " ") {
      event.preventDefault();
      ask();
      return;
    }
    if (list.hidden) return;
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp" && chosen >= 0) choose(chosen - 1);
    else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) take(words()[chosen]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  field.addEventListener("blur", () => setTimeout(close, 150));
})();

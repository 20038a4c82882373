// Files are dropped or chosen and sent in one request; how much of each is on its way is shown. Without it the form works too.
"use strict";
const form = document.getElementById("upload");
const [drop, each, all, told] = ["drop", "each", "all", "told"].map((id) => document.getElementById(id));
const SHOWN = 200; // lines of progress; the rest is counted only

for (const id of ["drop", "folder-row"]) document.getElementById(id).hidden = false;

// All files below what was dropped, with their paths.
async function below(entry) {
  if (entry.isFile) return [[await new Promise((done, failed) => entry.file(done, failed)), entry.fullPath.replace(/^\//, "")]];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed)); // a hundred at a time
    if (!some.length) return found;
    for (const one of some) found.push(...(await below(one)));
  }
}

function show(files) {
  document.getElementById("progress").hidden = false;
  each.replaceChildren();
  const bars = files.slice(0, SHOWN).map(([file, name]) => {
    const line = document.createElement("li");
    const bar = Object.assign(document.createElement("progress"), { max: Math.max(1, file.size), value: 0 });
    bar.setAttribute("aria-label", name);
    line.append(name, " ", bar);
    each.append(line);
    return bar;
  });
  if (files.length > SHOWN) each.append(`and ${files.length - SHOWN} more`);
  return bars;
}

function send(files) {
  if (!files.length) return;
  const bars = show(files);
  const total = files.reduce((sum, [file]) => sum + file.size, 0) || 1;
  const body = new FormData();
  body.append("token", form.elements.token.value); // first: the node takes no file before it
  for (const [file, name] of files) body.append("files", file, name);
  const request = new XMLHttpRequest();
  request.open("POST", "/import");
  request.setRequestHeader("accept", "text/html");
  request.upload.addEventListener("progress", (event) => {
    let left = event.loaded * (total / event.total); // what stands between the files is little
    all.value = event.loaded / event.total;
    for (const bar of bars) {
      bar.value = Math.max(0, Math.min(bar.max, left));
      left -= bar.max;
    }
    told.textContent = event.loaded < event.total ? `${Math.floor(100 * all.value)} % sent` : "Sent; the node takes the last files";
  });
  request.addEventListener("loadend", () => {
    const answer = new DOMParser().parseFromString(request.responseText, "text/html");
    const said = answer.querySelector("#imported") || answer.querySelector("main section");
    document.getElementById("progress").hidden = true;
    document.getElementById("answer").replaceChildren(said ? document.adoptNode(said) : `The node did not answer (${request.status}).`);
    form.hidden = false;
    form.reset();
  });
  told.textContent = `${files.length} files`;
  form.hidden = true;
  request.send(body);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = [...document.getElementById("files").files, ...document.getElementById("folder").files];
  send(chosen.map((file) => [file, file.webkitRelativePath || file.name]));
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("drop", async (event) => {
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const found = [];
  for (const entry of entries) found.push(...(await below(entry)));
  send(found);
});

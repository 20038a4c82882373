// Keeps the page fresh: every few seconds its main part is fetched again and put in place, what is unfolded stays so.
"use strict";
const PERIOD_MS = 3000;

async function refresh() {
  if (document.hidden || getSelection().type === "Range") return;
  // by the second header the node knows that nobody has to be at the browser for this
  const headers = { accept: "text/html", "x-requested-with": "page.js" };
  const answer = await fetch(location.pathname, { headers }).catch(() => null);
  if (answer && answer.status === 401) {
    location.reload(); // which leads to the page to sign in on
    return;
  }
  const readiness = document.getElementById("readiness");
  if (!answer || !answer.ok) {
    readiness.textContent = "no answer";
    readiness.className = "state bad";
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const open = [...document.querySelectorAll("details")].map((one) => one.open);
  const folded = fresh.querySelectorAll("details");
  if (folded.length === open.length) folded.forEach((one, index) => (one.open = open[index]));
  for (const selector of ["#live", "#readiness", "footer"]) {
    const [old, now] = [document.querySelector(selector), fresh.querySelector(selector)];
    if (old && now && old.outerHTML !== now.outerHTML) old.replaceWith(document.adoptNode(now));
  }
}

setInterval(refresh, PERIOD_MS);

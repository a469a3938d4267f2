/** Rules, categories, licences and credit. */
import { type Credit, type IndexCategory, useRead, useRows } from "../api";
import { current, number, t } from "../i18n";
import { adviceIn } from "../i18n/advice";
import { Badge, categoryName, useTitle, Waiting } from "../parts/common";

export function AboutPage() {
  useTitle(t("aboutTitle"));
  const categories = useRows<IndexCategory>("index-categories", { index_name: "us_epa", table_name: "2024", parameter: "pm25" });
  const credits = useRead<Credit[]>("/v1/attribution");
  return (
    <article class="page prose">
      <h1>{t("aboutTitle")}</h1>
      <section class="card">
        <h2>{t("aboutHow")}</h2>
        <ol>
          {(["about1", "about2", "about3", "about4", "about5", "about6"] as const).map((key) => <li key={key}>{t(key)}</li>)}
        </ol>
      </section>
      <section class="card">
        <h2>{t("aboutIndex")}</h2>
        <p>{t("aboutIndexText")}</p>
        <Waiting read={categories} />
        <Categories rows={categories.body?.data ?? []} />
      </section>
      <section class="card">
        <h2>{t("aboutLicences")}</h2>
        <p>{t("aboutLicencesText")}</p>
        <Waiting read={credits} />
        <div class="scroll" tabIndex={0} role="region" aria-label={t("aboutLicences")}>
          <table>
            <thead>
              <tr><th scope="col">{t("network")}</th><th scope="col">{t("credit")}</th><th scope="col">{t("licence")}</th></tr>
            </thead>
            <tbody>
              {(credits.body ?? []).map((one) => (
                <tr key={one.network}>
                  <th scope="row">{one.network}</th>
                  <td>{one.attribution}</td>
                  <td>{one.licence ?? t("licenceByStation")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
      <section class="card">
        <h2>{t("aboutUse")}</h2>
        <p>{t("aboutUseText")} <a href="/v1/openapi.json">{t("aboutApi")}</a></p>
        <h3>{t("aboutSoftware")}</h3>
        <p>{t("aboutSoftwareText")} <a href="/licences.txt">{t("aboutLicenceFile")}</a></p>
      </section>
    </article>
  );
}

function Categories({ rows }: { rows: IndexCategory[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={t("aboutIndex")}>
      <table>
        <thead>
          <tr><th scope="col">{t("category")}</th><th scope="col">{t("concentration")}</th><th scope="col">{t("advice")}</th></tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const none = row.advice === "None";
            const translated = adviceIn(current(), row.advice);
            return (
              <tr key={row.rank}>
                <th scope="row"><Badge rank={row.rank} /> {categoryName(row.rank)}</th>
                <td>{number(row.lower, 1)}{row.upper === null ? " +" : `–${number(row.upper, 1)}`}</td>
                <td lang={none || translated ? undefined : "en"}>{none ? t("adviceNone") : (translated ?? row.advice)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** The EPA's cautionary statements on particles and CO in other languages, by their English text. */
import type { Language } from "./index";

type Translations = Record<Exclude<Language, "en">, string>;

const STATEMENTS: Record<string, Translations> = {
  "Unusually sensitive people should consider reducing prolonged or heavy exertion.": {
    fr: "Les personnes particulièrement sensibles devraient envisager de réduire les efforts prolongés ou intenses.",
    it: "Le persone particolarmente sensibili dovrebbero valutare di ridurre gli sforzi prolungati o intensi.",
    nl: "Bijzonder gevoelige mensen kunnen langdurige of zware inspanning beter beperken.",
  },
  "People with heart or lung disease, older adults, and children should reduce prolonged or heavy exertion.": {
    fr: "Les personnes souffrant de maladies cardiaques ou pulmonaires, les personnes âgées et les enfants devraient réduire les efforts prolongés ou intenses.",
    it: "Chi ha malattie cardiache o polmonari, gli anziani e i bambini dovrebbero ridurre gli sforzi prolungati o intensi.",
    nl: "Mensen met een hart- of longziekte, ouderen en kinderen moeten langdurige of zware inspanning beperken.",
  },
  "People with heart or lung disease, older adults, and children should avoid prolonged or heavy exertion; everyone else should reduce prolonged or heavy exertion.": {
    fr: "Les personnes souffrant de maladies cardiaques ou pulmonaires, les personnes âgées et les enfants devraient éviter les efforts prolongés ou intenses ; toutes les autres devraient les réduire.",
    it: "Chi ha malattie cardiache o polmonari, gli anziani e i bambini dovrebbero evitare gli sforzi prolungati o intensi; tutti gli altri dovrebbero ridurli.",
    nl: "Mensen met een hart- of longziekte, ouderen en kinderen moeten langdurige of zware inspanning vermijden; alle anderen moeten die beperken.",
  },
  "People with heart or lung disease, older adults, and children should avoid all physical activity outdoors. Everyone else should avoid prolonged or heavy exertion.": {
    fr: "Les personnes souffrant de maladies cardiaques ou pulmonaires, les personnes âgées et les enfants devraient éviter toute activité physique à l’extérieur. Toutes les autres devraient éviter les efforts prolongés ou intenses.",
    it: "Chi ha malattie cardiache o polmonari, gli anziani e i bambini dovrebbero evitare ogni attività fisica all’aperto. Tutti gli altri dovrebbero evitare gli sforzi prolungati o intensi.",
    nl: "Mensen met een hart- of longziekte, ouderen en kinderen moeten alle lichamelijke activiteit buiten vermijden. Alle anderen moeten langdurige of zware inspanning vermijden.",
  },
  "Everyone should avoid all physical activity outdoors; people with heart or lung disease, older adults, and children should remain indoors and keep activity levels low.": {
    fr: "Tout le monde devrait éviter toute activité physique à l’extérieur ; les personnes souffrant de maladies cardiaques ou pulmonaires, les personnes âgées et les enfants devraient rester à l’intérieur et limiter leur activité.",
    it: "Tutti dovrebbero evitare ogni attività fisica all’aperto; chi ha malattie cardiache o polmonari, gli anziani e i bambini dovrebbero restare al chiuso e muoversi poco.",
    nl: "Iedereen moet alle lichamelijke activiteit buiten vermijden; mensen met een hart- of longziekte, ouderen en kinderen moeten binnen blijven en het rustig aan doen.",
  },
  "People with heart disease, such as angina, should limit heavy exertion and avoid sources of CO, such as heavy traffic.": {
    fr: "Les personnes souffrant de maladies cardiaques, comme l’angine de poitrine, devraient limiter les efforts intenses et éviter les sources de CO, comme la circulation dense.",
    it: "Chi ha malattie cardiache, come l’angina, dovrebbe limitare gli sforzi intensi ed evitare le fonti di CO, come il traffico intenso.",
    nl: "Mensen met een hartziekte, zoals angina pectoris, moeten zware inspanning beperken en bronnen van CO, zoals druk verkeer, vermijden.",
  },
  "People with heart disease, such as angina, should limit moderate exertion and avoid sources of CO, such as heavy traffic.": {
    fr: "Les personnes souffrant de maladies cardiaques, comme l’angine de poitrine, devraient limiter les efforts modérés et éviter les sources de CO, comme la circulation dense.",
    it: "Chi ha malattie cardiache, come l’angina, dovrebbe limitare gli sforzi moderati ed evitare le fonti di CO, come il traffico intenso.",
    nl: "Mensen met een hartziekte, zoals angina pectoris, moeten matige inspanning beperken en bronnen van CO, zoals druk verkeer, vermijden.",
  },
  "People with heart disease, such as angina, should avoid exertion and sources of CO, such as heavy traffic.": {
    fr: "Les personnes souffrant de maladies cardiaques, comme l’angine de poitrine, devraient éviter les efforts et les sources de CO, comme la circulation dense.",
    it: "Chi ha malattie cardiache, come l’angina, dovrebbe evitare gli sforzi e le fonti di CO, come il traffico intenso.",
    nl: "Mensen met een hartziekte, zoals angina pectoris, moeten inspanning en bronnen van CO, zoals druk verkeer, vermijden.",
  },
  "People with heart disease, such as angina, should avoid exertion and sources of CO, such as heavy traffic; everyone else should limit heavy exertion.": {
    fr: "Les personnes souffrant de maladies cardiaques, comme l’angine de poitrine, devraient éviter les efforts et les sources de CO, comme la circulation dense ; toutes les autres devraient limiter les efforts intenses.",
    it: "Chi ha malattie cardiache, come l’angina, dovrebbe evitare gli sforzi e le fonti di CO, come il traffico intenso; tutti gli altri dovrebbero limitare gli sforzi intensi.",
    nl: "Mensen met een hartziekte, zoals angina pectoris, moeten inspanning en bronnen van CO, zoals druk verkeer, vermijden; alle anderen moeten zware inspanning beperken.",
  },
};

/** A statement in a language; null where it is English or has no translation. */
export const adviceIn = (language: Language, statement: string): string | null =>
  language === "en" ? null : (STATEMENTS[statement]?.[language] ?? null);

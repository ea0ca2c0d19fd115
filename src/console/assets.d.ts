// Types of the imports that the bundler turns into files: style sheets and pictures.
declare module "*.css";
declare module "*.svg" {
  const url: string;
  export default url;
}
